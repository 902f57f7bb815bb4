"""CSV: one line a row, pictures as files beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Histogram, Hyperparameters, Image, Value, Video
from puffer_callbacks.values.image_files import to_gif, to_png
from puffer_callbacks.writers.base import Writer
from puffer_callbacks.writers.csv.metrics_file import Table

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class CSVWriter(Writer):
    """Feeds a ``CSVLogger``: ``metrics.csv`` in its ``log_dir``, shared with the module's own ``self.log``.

    A histogram is written as its quantiles, count and non-finite count; a picture as the path of its file
    under ``media/``.

    Args:
        logger: a ``CSVLogger`` of either Lightning namespace, or Fabric's.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self._folder = Path(logger.log_dir)
        self._table = Table(self._folder)
        self._size: int | None = None
        # the logger's own table deletes the file when it opens and rewrites it at every new column
        logger._experiment = self._table

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Append the row."""
        cells: dict[str, float | str] = {}
        for tag, value in values.items():
            if isinstance(value, Hyperparameters):
                self._table.log_hparams(dict(value.settings))
            else:
                cells.update(self._cells(self.tag(tag), value, self.step(axes)))
        if cells:
            self._table.log_metrics(cells, self.step(axes))

    def recover(self) -> bool:
        """Look at the file again: it may have been removed."""
        return self._table.reopen()

    def resume(self, last_step: int) -> None:
        """Keep the rows that the checkpoint knows of, up to ``last_step``, and drop the later ones."""
        self._table.resume(last_step, self._size, own=self.tag("time/optimizer_steps"))

    def state_dict(self) -> dict[str, Any]:
        """How much of the file there is: rows of the module's own ``self.log`` count on another axis."""
        return {"size": self._table.size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the size, for ``resume``."""
        self._size = state_dict.get("size")

    def _cells(self, tag: str, value: Value, step: int) -> dict[str, float | str]:
        if isinstance(value, Histogram):
            quantiles = zip(_QUANTILES, value.quantile(_QUANTILES), strict=True)
            cells: dict[str, float | str] = {f"{tag}/p{round(q * 100)}": float(v) for q, v in quantiles}
            return cells | {f"{tag}/count": float(value.count), f"{tag}/nonfinite": float(value.nonfinite)}
        if isinstance(value, Image):
            return {tag: self._media(tag, step, ".png", to_png(value))}
        if isinstance(value, Video):
            return {tag: self._media(tag, step, ".gif", to_gif(value))}
        return {tag: value if isinstance(value, float) else getattr(value, "text", str(value))}

    def _media(self, tag: str, step: int, suffix: str, content: bytes) -> str:
        name = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in tag)[:100]
        if name != tag or not name.strip("."):  # "a/b" and "a_b" are two files
            name += f"_{crc32(tag.encode(errors='replace')):08x}"
        path = self._folder / "media" / f"{name}_{step}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path.relative_to(self._folder))
