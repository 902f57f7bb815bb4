"""Weights & Biases: one row a row, the axes as columns."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Histogram, Hyperparameters, Image, Text, Value, Video
from puffer_callbacks.values.encode import to_gif
from puffer_callbacks.writers.base import Writer
from puffer_callbacks.writers.wandb_file import last_logged_step
from puffer_callbacks.writers.recent import RecentRows

MAX_BINS = 512
"""W&B keeps no histogram with more bins."""


class WandbWriter(Writer):
    """Feeds a ``WandbLogger``.

    W&B's own step only counts rows and drops one that goes back, so rows carry their axes as columns, and
    ``define_metric`` names the column that charts are drawn over.

    Args:
        logger: a ``WandbLogger`` of either Lightning namespace.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self._recent = RecentRows()
        self._logged_to: int | None = None
        self._defined = False

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Log the row; hyperparameters go to the run's config and summary."""
        run = self.logger.experiment
        self._define_axes(run)
        if self._logged_to is not None and self.step(axes) <= self._logged_to:
            values = {tag: value for tag, value in values.items() if isinstance(value, Hyperparameters)}
        row: dict[str, Any] = {}
        for tag, value in values.items():
            if isinstance(value, Hyperparameters):
                self._hyperparameters(run, value)
            else:
                row[self.tag(tag)] = self._encode(value)
        if row:
            run.log(row)
            self._recent.add(values, axes)

    def close(self) -> None:
        """Nothing to flush: W&B's own process has the rows already."""

    def resume(self, last_step: int) -> None:
        """Continue the run of the same id: what W&B has stays, what its buffers lost in a crash is logged again."""
        recent, self._recent = self._recent, RecentRows()
        self._logged_to = last_logged_step(self.logger.experiment, f"axes/{self.x_axis}")
        if self._logged_to is not None:
            for values, axes in recent.rows():
                if self.step(axes) <= last_step:
                    self.write(values, axes)

    def state_dict(self) -> dict[str, Any]:
        """The rows that W&B may still hold in a buffer."""
        return {"recent": self._recent.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up those rows, for ``resume`` to compare with what W&B has."""
        self._recent.load_state_dict(state_dict["recent"])

    def _define_axes(self, run: Any) -> None:
        if self._defined:
            return
        axis = f"axes/{self.x_axis}"
        run.define_metric(axis)
        run.define_metric("*", step_metric=axis, step_sync=True)
        self._defined = True

    def _hyperparameters(self, run: Any, value: Hyperparameters) -> None:
        if value.status == "running":
            run.config.update(dict(value.settings), allow_val_change=True)
        else:
            run.summary.update({tag: number for tag, number in value.metrics.items() if number is not None})

    def _encode(self, value: float | Histogram | Image | Video | Text) -> Any:
        import wandb  # noqa: PLC0415  # an optional extra

        if isinstance(value, Histogram):
            return wandb.Histogram(np_histogram=value.coarsened(MAX_BINS))
        if isinstance(value, Image):
            return wandb.Image(value.pixels, caption=value.caption or None)
        if isinstance(value, Video):
            gif = BytesIO(to_gif(value))  # arrays W&B would encode with moviepy
            return wandb.Video(gif, caption=value.caption or None, format="gif")
        return value.text if isinstance(value, Text) else value
