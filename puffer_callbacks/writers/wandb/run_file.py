"""W&B's run file, read back: the rows that a run has logged already, offline or before a crash."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from puffer_callbacks.values.leveldb_log import log_records


def read_history(path: Path) -> Iterator[dict[str, str]]:
    """The history rows of a ``run-<id>.wandb`` file, each as key to JSON text.

    Records that a crash cut short are left out.

    Args:
        path: the file.
    """
    from wandb.proto.wandb_internal_pb2 import Record  # noqa: PLC0415  # an optional extra

    for serialized in log_records(path.read_bytes()):
        record: Any = Record.FromString(serialized)
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
