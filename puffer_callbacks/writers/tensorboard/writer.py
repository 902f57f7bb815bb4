"""``TensorBoardWriter``: one event for each row."""

import os
import socket
from collections.abc import Hashable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from time import sleep, time
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Histogram, Hyperparameters, Value
from puffer_callbacks.writers.base import Writer
from puffer_callbacks.writers.last_steps import last_step_of
from puffer_callbacks.writers.tensorboard.cut_back import cut_back, link
from puffer_callbacks.writers.tensorboard.descriptions import with_descriptions
from puffer_callbacks.writers.tensorboard.histograms import encode_histograms
from puffer_callbacks.writers.tensorboard.hparams import hparams_summaries
from puffer_callbacks.writers.tensorboard.layout import layout_summary
from puffer_callbacks.writers.tensorboard.protobuf import event
from puffer_callbacks.writers.tensorboard.records import append
from puffer_callbacks.writers.tensorboard.summaries import encode

_BEGUN: set[str] = set()
"""Folders in which a run of this process has begun: their rows are no earlier process's."""
_STARTED = int(time())
"""Since when this process has event files, in seconds since the epoch."""


@dataclass(eq=False)
class _Place:
    """What this process has written to one destination."""

    last_file: str = ""
    """The event file that the present run wrote to last, over all of its fits."""


_PLACES: dict[Hashable, _Place] = {}
"""By destination: loggers made one after the other share it."""


class TensorBoardWriter(Writer):
    """Writes to a ``TensorBoardLogger``; a row of 20 scalars is one event of 20 values, not 20 events.

    Args:
        logger: a ``TensorBoardLogger`` of either Lightning namespace, or Fabric's.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self._described: set[str] = set()
        """The tags that have a point, and with it a description."""
        self._file_at_checkpoint, self._size = "", 0

    @property
    def destination(self) -> Hashable:
        """The folder, and the prefix of the tags."""
        folder = str(self.logger.log_dir)
        return "TensorBoard", os.path.abspath(folder) if self._is_local else folder, self.tag("")

    @property
    def place(self) -> _Place:
        """What was written to the destination; nothing, once its files are removed."""
        place = _PLACES.setdefault(self.destination, _Place())
        if self._is_local and place.last_file and not os.path.isfile(place.last_file):
            place = _PLACES[self.destination] = _Place()
        return place

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write the row as one event; the operating system has it on return."""
        summary, prefix = Summary(), self.tag("")
        entries = summary.value
        histograms: dict[str, Histogram] = {}
        for tag, value in values.items():
            if isinstance(value, float):  # nearly all of them
                entries.add(tag=prefix + tag, simple_value=value)
            elif isinstance(value, Histogram):
                histograms[prefix + tag] = value
            elif isinstance(value, Hyperparameters):
                entries.extend(self._hyperparameters(value))
            else:
                entries.append(encode(prefix + tag, value))
        encoded = summary.SerializeToString() + encode_histograms(histograms)
        if new := values.keys() - self._described:
            encoded = self._with_first_points(encoded, new, axes)
        append(self._file.event_writer, event(self.step(axes), axes.wall_time, encoded))
        self._described |= new

    def flush(self) -> None:
        """Flush what TensorBoard's own thread has, and check that the event file is still there.

        Raises:
            FileNotFoundError: if the event file was removed during the run; writing to it raises nothing.
        """
        self._file.flush()
        if self._is_local and not self._event_files():
            raise FileNotFoundError(f"the event file in {self.logger.log_dir} was removed")

    def state_dict(self) -> dict[str, Any]:
        """The event file and its size, in bytes: texts and the user's own events are no rows."""
        path = _path_of(self._file)
        return {"file": os.path.basename(path), "size": os.stat(path).st_size} if os.path.isfile(path) else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the file and its size, for ``resume``."""
        self._file_at_checkpoint, self._size = state_dict.get("file", ""), state_dict.get("size", 0)

    def recover(self) -> bool:
        """Begin a new event file, as the thread that writes the old one may have died."""
        self._described.clear()  # the old file may be gone
        broken, self.logger._experiment = self.logger._experiment, None
        with suppress(Exception):
            broken.close()
        if not self._is_local:
            return False
        is_gone = not self._event_files()
        os.makedirs(self.logger.log_dir, exist_ok=True)
        with TemporaryFile(dir=self.logger.log_dir) as probe:  # a thread that cannot write prints a traceback and dies
            probe.write(bytes(4096))
        self._ensure_last_file()
        return is_gone

    def begin(self, first_step: int) -> None:
        """Hide from ``first_step`` on what an earlier process has written to the same folder."""
        folder = str(self.logger.log_dir)
        last_step = last_step_of(self.place)
        if last_step is None or last_step > first_step:  # the run before was another
            self.place.last_file = ""
        if folder not in _BEGUN and not all(map(_is_own, self._event_files())):
            self._start_session(first_step)
        else:
            self._ensure_last_file()
        _BEGUN.add(folder)

    def resume(self, last_step: int) -> None:
        """Continue after ``last_step``, where the checkpoint's event file ended: what was written later is removed."""
        folder, file, size = str(self.logger.log_dir), self._file_at_checkpoint, self._size
        _BEGUN.add(folder)
        self._file.flush()
        row_tag = self.tag("time/optimizer_steps")
        if file and self._is_local and cut_back(folder, file=file, size=size, last_step=last_step, row_tag=row_tag):
            self.place.last_file = os.path.join(folder, file)
            self._ensure_last_file()
        else:
            self.place.last_file = ""
            self._start_session(last_step + 1)

    def _start_session(self, step: int) -> None:
        """Have readers hide this step and later ones of earlier files; TensorBoard ignores the first start of a run."""
        self._ensure_last_file()
        start = Event(step=step, session_log=SessionLog(status=SessionLog.START)).SerializeToString()
        for _ in range(2):
            append(self._file.event_writer, start)

    def _ensure_last_file(self) -> None:
        """Begin another file where this one would be read before an earlier one.

        Readers take files in the order of their names: second, host, process, number, of which 10 comes before 9.
        One that was begun in the same second may come after this one.
        """
        last = max(self._event_files(), default="") if self._is_local else ""
        path = _path_of(self._file)
        if path and os.path.basename(path) < last:
            self.logger.experiment.close()
            self.logger._experiment = None
            sleep(1.0)
        self._link_to_last_file()

    def _link_to_last_file(self) -> None:
        """Where the run goes on in another file, name the one before: both are cut back to an earlier checkpoint."""
        path, before = _path_of(self._file), self.place.last_file
        if before != path and os.path.isfile(before):
            append(self._file.event_writer, link(os.path.basename(before), os.stat(before).st_size))
        self.place.last_file = path

    @property
    def _is_local(self) -> bool:
        return "://" not in str(self.logger.log_dir)

    def _event_files(self) -> list[str]:
        with suppress(FileNotFoundError):
            return [name for name in os.listdir(self.logger.log_dir) if name.startswith("events.out.tfevents")]
        return []

    @property
    def _file(self) -> Any:  # torch's FileWriter is untyped
        return self.logger.experiment._get_file_writer()

    def _with_first_points(self, encoded: bytes, new: Set[str], axes: Axes) -> bytes:
        """The row with what TensorBoard reads once: descriptions of new tags and, with the first row, the layout."""
        prefix = self.tag("")
        encoded = with_descriptions(encoded, new, prefix=prefix)
        if "time/elapsed" in new:  # every row has it
            layout = layout_summary(prefix, has_environment=axes.env_steps is not None)
            encoded += Summary(value=[layout]).SerializeToString()
        return encoded

    def _hyperparameters(self, value: Hyperparameters) -> list[Summary.Value]:
        if value.status == "running" and not os.path.isfile(os.path.join(self.logger.log_dir, "hparams.yaml")):
            # which the logger writes when it is saved; Lightning's ``Trainer`` has done that already
            getattr(self.logger, "hparams", {}).update(value.settings)
        metrics = {self.tag(tag): number for tag, number in value.metrics.items()}
        return hparams_summaries(replace(value, metrics=metrics))


def _is_own(name: str) -> bool:
    """Whether an event file is this process's: its name has the second, the host and the process."""
    return f".{socket.gethostname()}.{os.getpid()}." in name and int(name.split(".")[3]) >= _STARTED


def _path_of(file: Any) -> str:
    """Where a ``FileWriter`` of torch writes; empty where TensorBoard does not expose it."""
    return str(getattr(file.event_writer, "_file_name", ""))
