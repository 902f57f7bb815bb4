"""``CSVWriter``: one line for each row, pictures as files beside it."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Histogram, Hyperparameters, Image, Value, Video
from puffer_callbacks.values.image_files import to_gif, to_png
from puffer_callbacks.writers.base import Writer
from puffer_callbacks.writers.csv.metrics_file import MetricsFile

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class CSVWriter(Writer):
    """Writes to a ``CSVLogger``: ``metrics.csv`` in its ``log_dir``, shared with those who call the logger themselves.

    A histogram becomes its quantiles, count and non-finite count; a picture becomes the path of its file under
    ``media/``.

    Args:
        logger: a ``CSVLogger`` of either Lightning namespace, or Fabric's.
    """

    reserved = frozenset({"step"})

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self._folder = Path(logger.log_dir).expanduser()  # as fsspec does for Lightning
        self._file = MetricsFile.of(self._folder)
        self._file.reopen()
        self._lines: int | None = None
        self._file.stand_in_for(logger)
        self._file.count_lines()

    @property
    def destination(self) -> Hashable:
        """The folder, and the prefix of the tags."""
        return "CSV", self._file.folder, self.tag("")

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Append the row."""
        cells: dict[str, float | str] = {}
        for tag, value in self.without_reserved(values).items():
            if isinstance(value, Hyperparameters):
                if not self._file.hparams:  # Lightning's ``Trainer`` logs them itself where a module has some
                    self._file.log_hparams(dict(value.settings))
            else:
                cells.update(self._cells(self.tag(tag), value, self.step(axes)))
        if cells:
            self._file.log_metrics(cells, self.step(axes))

    def recover(self) -> bool:
        """Look at the file again: it may have been removed."""
        return self._file.reopen()

    def resume(self, last_step: int) -> None:
        """Keep the rows of the checkpoint, up to ``last_step``, and drop later ones."""
        self._file.resume(last_step, self._lines, own=self.tag("time/optimizer_steps"))

    def close(self) -> None:
        """Leave an earlier run's rows where they were, if this run has not started, and the logger its own writer."""
        super().close()
        self._file.restore()
        self._file.give_back()

    def state_dict(self) -> dict[str, Any]:
        """The lines of the file: rows that others give the logger count on another axis."""
        return {"lines": self._file.lines}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the lines, for ``resume``."""
        self._lines = state_dict.get("lines")

    def _cells(self, tag: str, value: Value, step: int) -> dict[str, float | str]:
        """The columns that a value takes."""
        if isinstance(value, Histogram):
            quantiles = zip(_QUANTILES, value.quantile(_QUANTILES), strict=True)
            cells: dict[str, float | str] = {f"{tag}/p{round(q * 100)}": float(v) for q, v in quantiles}
            return cells | {f"{tag}/count": float(value.count), f"{tag}/nonfinite": float(value.nonfinite)}
        if isinstance(value, Image):
            return {tag: self._save_picture(tag, step, ".png", to_png(value))}
        if isinstance(value, Video):
            return {tag: self._save_picture(tag, step, ".gif", to_gif(value))}
        return {tag: value if isinstance(value, float) else getattr(value, "text", str(value))}

    def _save_picture(self, tag: str, step: int, suffix: str, content: bytes) -> str:
        """Write the picture's file, whose name cannot leave the folder, and return its path in it."""
        name = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in tag)[:100]
        if name != tag or not name.strip("."):  # "a/b" and "a_b" are two files
            name += f"_{crc32(tag.encode(errors='replace')):08x}"
        path = self._folder / "media" / f"{name}_{step}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path.relative_to(self._folder))
