"""W&B's offline files, ``run-<id>.wandb``."""

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.media import histogram_of_buckets, read_picture
from puffer_callbacks.runs.rows import RowReader, settings_of
from puffer_callbacks.values import Histogram
from puffer_callbacks.values.leveldb_log import log_records

MAGIC = b":W&B"
"""The first bytes of a file."""


def read_wandb_files(*paths: Path) -> Contents:
    """All that the files of one run hold; a resumed run has several.

    The step of a row is the column that ``define_metric("*", step_metric=…)`` names, else the first of ``STEP_NAMES``,
    which ends with W&B's own count of rows.

    Args:
        paths: the files, oldest first.

    Raises:
        ImportError: if wandb is missing.
    """
    try:
        from wandb.proto.wandb_internal_pb2 import Record  # noqa: PLC0415  # an optional extra
    except ImportError as error:
        raise ImportError("reading W&B files needs wandb: pip install 'puffer_callbacks[wandb]'") from error
    contents = Contents()
    reader = _HistoryReader(contents)
    for path in paths:
        damaged: list[int] = []
        for serialized in log_records(path.read_bytes(), damaged):
            reader.add(Record.FromString(serialized), path.parent / "files")
        for at in damaged:
            contents.problems.append(f"{path.name}: the record at byte {at} is cut short or damaged; it was left out")
    return contents


class _HistoryReader:
    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._rows = RowReader(contents)

    def add(self, record: Any, folder: Path) -> None:
        """Add a record; ``folder`` holds the pictures."""
        kind = record.WhichOneof("record_type")
        if kind == "history":
            self._add_row(_nested(record.history.item), folder)
        elif kind == "metric" and record.metric.glob_name == "*" and record.metric.step_metric:
            self._rows = RowReader(self._contents, record.metric.step_metric)
        elif kind in ("run", "config"):
            self._contents.name = record.run.display_name or self._contents.name
            config = _nested((record.run.config if kind == "run" else record.config).update)
            config.pop("_wandb", None)
            self._contents.hyperparameters |= settings_of(config)

    def _add_row(self, row: dict[str, Any], folder: Path) -> None:
        media = {tag: row.pop(tag) for tag, value in list(row.items()) if isinstance(value, dict) and "_type" in value}
        step = self._rows.add(row)
        for tag, value in media.items():
            if value["_type"] == "histogram":
                self._contents.histograms.setdefault(tag, []).append((step, partial(_histogram, value)))
            elif value["_type"] in ("image-file", "video-file") and "path" in value:
                picture = partial(read_picture, folder / value["path"])
                self._contents.images.setdefault(tag, []).append((step, picture))


def _nested(items: Iterable[Any]) -> dict[str, Any]:
    """Items with keys or nested keys and values in JSON, as one mapping."""
    found: dict[str, Any] = {}
    for item in items:
        *parents, name = item.nested_key or [item.key]
        into = found
        for parent in parents:
            into = into.setdefault(parent, {})
        try:
            into[name] = json.loads(item.value_json)
        except ValueError:
            into[name] = item.value_json
    return found


def _histogram(value: dict[str, Any]) -> Histogram:
    edges, counts = (np.array(value[name], np.float64) for name in ("bins", "values"))
    return histogram_of_buckets(edges[:-1], edges[1:], counts)
