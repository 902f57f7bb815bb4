"""Finished runs, read by the backends' own readers."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader


def accumulator(folder: Path | str) -> EventAccumulator:
    """TensorBoard's reader, which keeps everything."""
    keep_all = dict.fromkeys(("scalars", "histograms", "images", "tensors", "compressedHistograms"), 0)
    return EventAccumulator(str(folder), size_guidance=keep_all).Reload()


def tensorboard_scalars(folder: Path | str) -> dict[str, list[tuple[int, float]]]:
    """Tag to (step, value)."""
    found = accumulator(folder)
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def histogram_groups(folder: Path | str) -> set[str]:
    """The first parts of the tags of histograms."""
    return {tag.partition("/")[0] for tag in accumulator(folder).Tags()["histograms"]}


def tensorboard_events(folder: Path | str) -> list[Any]:
    """Every event with a summary, in the order of the files, as the protos they were written as."""
    events = []
    for path in sorted(Path(folder).glob("events.out.tfevents.*")):
        events += [event for event in LegacyEventFileLoader(str(path)).Load() if event.HasField("summary")]
    return events


def wandb_records(folder: Path | str) -> list[Any]:
    """Every record of the one offline run below a folder, parsed by W&B's own protocol."""
    from wandb.proto import wandb_internal_pb2

    (path,) = Path(folder).rglob("run-*.wandb")
    return [wandb_internal_pb2.Record.FromString(data) for data in _log_records(path.read_bytes())]


def wandb_rows(folder: Path | str) -> list[dict[str, Any]]:
    """Every row of history: its columns without W&B's own."""
    rows = []
    for record in wandb_records(folder):
        if record.HasField("history"):
            items = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            rows.append({key: value for key, value in items.items() if not key.startswith("_")})
    return rows


def wandb_config(folder: Path | str) -> dict[str, Any]:
    """The run's configuration, without W&B's own."""
    config: dict[str, Any] = {}
    for record in wandb_records(folder):
        updates = [*record.config.update, *record.run.config.update]
        config |= {u.key or "/".join(u.nested_key): json.loads(u.value_json) for u in updates}
    return {key: value for key, value in config.items() if not key.startswith("_wandb")}


def wandb_summary(folder: Path | str) -> dict[str, Any]:
    """What was put into the run's summary."""
    summary: dict[str, Any] = {}
    for record in wandb_records(folder):
        updates = record.summary.update
        summary |= {u.key or "/".join(u.nested_key): json.loads(u.value_json) for u in updates}
    return {key: value for key, value in summary.items() if not key.startswith("_")}


_BLOCK, _FILE_HEADER, _RECORD_HEADER = 32768, 7, 7
_FULL, _FIRST, _LAST = 1, 2, 4


def _log_records(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log format, in blocks of 32 KiB.

    W&B's Python reader of it (``wandb.sdk.internal.datastore``) went away with 0.28; the format stayed.
    """
    assert data[:4] == b":W&B", "not a .wandb file"
    at, parts = _FILE_HEADER, []
    while at + _RECORD_HEADER <= len(data):
        if _BLOCK - at % _BLOCK < _RECORD_HEADER:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + _RECORD_HEADER])
        if kind == 0:
            at += _BLOCK - at % _BLOCK
            continue
        at += _RECORD_HEADER
        parts = [] if kind in (_FULL, _FIRST) else parts
        parts.append(data[at : at + length])
        at += length
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
