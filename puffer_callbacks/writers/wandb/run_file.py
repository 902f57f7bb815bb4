"""W&B's run file, read back: the rows that a run has logged already, offline or before a crash."""

import struct
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Any

_BLOCK = 32768
_HEADER = struct.Struct("<IHB")
_FULL, _LAST = 1, 4


def read_history(path: Path) -> Iterator[dict[str, str]]:
    """The history rows of a ``run-<id>.wandb`` file, each as key to JSON text.

    The file is a log in LevelDB's format (github.com/google/leveldb, doc/log_format.md) of ``wandb``'s
    protocol buffers behind a header of 7 bytes. A record that a crash cut short ends it.

    Args:
        path: the file.
    """
    from wandb.proto import wandb_internal_pb2  # noqa: PLC0415  # an optional extra

    for payload in _payloads(path.read_bytes()):
        record: Any = wandb_internal_pb2.Record()
        try:
            record.ParseFromString(payload)
        except Exception:  # google.protobuf's DecodeError; nothing behind a torn record can be trusted
            return
        if record.WhichOneof("record_type") == "history":
            yield {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}


def last_logged_step(run: Any, axis: str) -> int | None:
    """The highest value of an axis that W&B already has of this run, or ``None`` for a new run.

    Online it is in the run's summary; offline in the files of earlier processes with the same run id.

    Args:
        run: the W&B run.
        axis: its column, such as ``time/env_steps``.
    """
    steps = [int(run.summary[axis])] if getattr(run, "resumed", False) and axis in run.summary else []
    here = Path(run.dir).parent
    for path in here.parent.glob(f"*run-*/run-{escape(run.id)}.wandb"):  # a folder's name may end in "-1", "-2", …
        if path.parent != here and not path.parent.is_symlink():
            steps += [int(float(row[axis])) for row in read_history(path) if axis in row]
    return max(steps, default=None)


def _payloads(content: bytes) -> Iterator[bytes]:
    at, parts = 7, b""
    while at + _HEADER.size <= len(content):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER.size:  # too short for a header: the rest of the block is padding
            at += left
            continue
        _, length, kind = _HEADER.unpack_from(content, at)
        part = content[at + _HEADER.size : at + _HEADER.size + length]
        if kind == 0 or len(part) < length:
            return
        parts += part
        if kind in (_FULL, _LAST):
            yield parts
            parts = b""
        at += _HEADER.size + length
