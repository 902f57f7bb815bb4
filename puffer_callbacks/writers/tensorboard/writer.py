"""TensorBoard: one event a row."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from tempfile import TemporaryFile
from time import sleep

from lightning.pytorch.core.saving import save_hparams_to_yaml
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Histogram, Hyperparameters, Image, Text, Value, Video
from puffer_callbacks.values.image_files import to_gif, to_png
from puffer_callbacks.writers.base import Writer
from puffer_callbacks.writers.tensorboard.histograms import encode_histograms
from puffer_callbacks.writers.tensorboard.hparams import hparams_summaries
from puffer_callbacks.writers.tensorboard.protobuf import event
from puffer_callbacks.writers.tensorboard.records import append

_LINK = re.compile(r"\](?=\s*[(\[:])")
"""The bracket that makes a link, a picture or a reference of words in brackets."""
_BEGUN: set[str] = set()
"""Folders in which a run of this process has begun: what is there is no earlier run's."""


class TensorBoardWriter(Writer):
    """Feeds a ``TensorBoardLogger``; a row of 20 scalars is one event of 20 values, not 20 events.

    Args:
        logger: a ``TensorBoardLogger`` of either Lightning namespace, or Fabric's.
    """

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write the row as one event; a video as an animated GIF, which TensorBoard's image tab plays."""
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
        append(self._file.event_writer, event(self.step(axes), axes.wall_time, encoded))

    def flush(self) -> None:
        """Look whether the events are still there; they were handed to the operating system as they came.

        Raises:
            FileNotFoundError: if the event file was removed under the run; writing to it would not say so.
        """
        self._file.flush()
        if self._is_local and not self._event_files():
            raise FileNotFoundError(f"the event file in {self.logger.log_dir} was removed")

    def recover(self) -> bool:
        """Begin a new event file, as the thread that writes the old one may have died."""
        broken, self.logger._experiment = self.logger._experiment, None
        with suppress(Exception):
            broken.close()
        if not self._is_local:
            return False
        gone = not self._event_files()
        os.makedirs(self.logger.log_dir, exist_ok=True)
        with TemporaryFile(dir=self.logger.log_dir) as probe:  # a thread that cannot write would die noisily
            probe.write(bytes(4096))
        return gone

    def begin(self, first_step: int) -> None:
        """Hide from ``first_step`` on what an earlier process has written in the same folder."""
        folder = str(self.logger.log_dir)
        if folder not in _BEGUN and self._is_local and len(self._event_files()) > 1:
            self.resume(first_step - 1)
        _BEGUN.add(folder)

    def resume(self, last_step: int) -> None:
        """Tell every reader to forget what lies beyond ``last_step``: a session starts after it."""
        _BEGUN.add(str(self.logger.log_dir))
        self._be_last()
        start = Event(step=last_step + 1, session_log=SessionLog(status=SessionLog.START))
        append(self._file.event_writer, start.SerializeToString())

    def _be_last(self) -> None:
        """Readers take the files in the order of their names: second, host, process. A life that ended in the
        second in which this one began may stand behind it, and this one has to begin another file then.
        """
        last = max(self._event_files(), default="") if self._is_local else ""
        if os.path.basename(getattr(self._file.event_writer, "_file_name", last)) < last:
            self.logger.experiment.close()
            self.logger._experiment = None
            sleep(1.0)

    @property
    def _is_local(self) -> bool:
        return "://" not in str(self.logger.log_dir)

    def _event_files(self) -> list[str]:
        with suppress(FileNotFoundError):
            return [name for name in os.listdir(self.logger.log_dir) if name.startswith("events.out.tfevents")]
        return []

    @property
    def _file(self):  # type: ignore[no-untyped-def]  # torch's FileWriter is untyped
        return self.logger.experiment._get_file_writer()

    def _hyperparameters(self, value: Hyperparameters) -> list[Summary.Value]:
        if value.status == "running":
            # the logger keeps them for hparams.yaml; its own entry in the HParams tab would be hp_metric = -1
            self.logger._default_hp_metric = False
            if hasattr(self.logger, "hparams"):  # Fabric's logger has none
                self.logger.hparams.update(value.settings)
                # anew: Lightning's own save at the start of the fit was empty, or is of the run before a resume
                save_hparams_to_yaml(os.path.join(self.logger.log_dir, "hparams.yaml"), self.logger.hparams)
        metrics = {self.tag(tag): number for tag, number in value.metrics.items()}
        return hparams_summaries(replace(value, metrics=metrics))


def encode(tag: str, value: float | Histogram | Image | Video | Text) -> Summary.Value:
    """One value as TensorBoard stores it.

    Args:
        tag: where it stands.
        value: what to store.

    Example:
        >>> encode("train/loss", 0.5).simple_value
        0.5
    """
    if isinstance(value, Histogram):
        return Summary.FromString(encode_histograms({tag: value})).value[0]
    if isinstance(value, Image):
        return Summary.Value(tag=tag, image=_image(value, to_png(value)))
    if isinstance(value, Video):
        return Summary.Value(tag=tag, image=_image(value, to_gif(value)))
    if isinstance(value, Text):
        return _text(tag, value)
    return Summary.Value(tag=tag, simple_value=value)


def _image(value: Image | Video, encoded: bytes) -> Summary.Image:
    height, width, channels = (value.pixels if isinstance(value, Image) else value.frames[0]).shape
    return Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded)


def _text(tag: str, value: Text) -> Summary.Value:
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[_as_words(value.text).encode(errors="replace")],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    return Summary.Value(tag=f"{tag}/text_summary", metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)


def _as_words(text: str) -> str:
    """TensorBoard shows Markdown and HTML: no tag, link or picture may come of what a run says."""
    return _LINK.sub("&#93;", text.replace("<", "&lt;"))
