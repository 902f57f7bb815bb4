"""W&B's run file, read back: the rows that a run has logged already, offline or before a crash."""

import struct
from collections.abc import Iterator, Set
from dataclasses import dataclass
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


@dataclass(frozen=True)
class LoggedRow:
    """The last row of a run.

    Args:
        step: its point on the x axis.
        tags: what it has; none where they are not known.
    """

    step: int
    tags: Set[str] = frozenset()


def last_of(*rows: LoggedRow | None) -> LoggedRow | None:
    """The last of several rows, with the tags of all at its step.

    Example:
        >>> last_of(None, LoggedRow(48, {"other"}), LoggedRow(64, {"own"}), LoggedRow(64, {"own"}))
        LoggedRow(step=64, tags={'own'})
    """
    last: LoggedRow | None = None
    for row in rows:
        if last is None or (row is not None and row.step > last.step):
            last = row
        elif row is not None and row.step == last.step:
            last = LoggedRow(row.step, last.tags | row.tags)
    return last


def last_logged_row(run: Any, axis: str) -> LoggedRow | None:
    """The last row on an axis that W&B already has of this run, or ``None`` for a new run.

    It is in the files of earlier processes with the same run id. Online the run's summary has its step, not its tags:
    where another machine has logged it, they are not known.

    Args:
        run: the W&B run.
        axis: its column, such as ``time/env_steps``.
    """
    is_known_online = getattr(run, "resumed", False) and axis in run.summary
    last = LoggedRow(int(run.summary[axis])) if is_known_online else None
    here = Path(run.dir).parent
    paths = here.parent.glob(f"*run-*/run-{escape(run.id)}.wandb")  # a folder's name may end in "-1", "-2", …
    for path in paths:
        if path.parent != here and not path.parent.is_symlink():
            for row in _logged_rows(path, axis):
                last = last_of(last, row)
    return last


def _logged_rows(path: Path, axis: str) -> Iterator[LoggedRow]:
    for row in read_history(path):
        if axis in row:  # a histogram or picture is a key for each of its parts
            yield LoggedRow(int(float(row[axis])), {key.removesuffix("._type") for key in row})


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
