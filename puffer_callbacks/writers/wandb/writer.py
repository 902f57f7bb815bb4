"""Weights & Biases: one history row for each row, the axes as columns."""

import logging
from collections.abc import Hashable, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Alert, Histogram, Hyperparameters, Image, Text, Value, Video
from puffer_callbacks.values.image_files import to_gif
from puffer_callbacks.writers.base import Writer
from puffer_callbacks.writers.last_steps import last_step_of
from puffer_callbacks.writers.wandb.run_file import last_logged_step

_log = logging.getLogger("puffer_callbacks")
_DIED = {"MailboxClosedError", "ServiceDiedError", "SockClientClosedError", "WandbServiceConnectionError"}
"""What the versions of W&B raise where their own process is gone."""
_LEVELS = {"info": "INFO", "warning": "WARN", "critical": "ERROR"}
MAX_BINS = 512
"""W&B keeps no histogram with more bins."""
_BEST = ("rollout/return_mean", "rollout/success_rate", "eval/mean_reward")
"""Tags whose largest value a run's summary shows beside the last one."""
_EPISODES = "episodes"


class WandbWriter(Writer):
    """Writes to a ``WandbLogger``.

    W&B's own step counts rows and must not go back, so rows carry their axes as columns, and ``define_metric``
    names the column that charts are drawn over.

    Args:
        logger: a ``WandbLogger`` of either Lightning namespace.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self._logged_to: int | None = None
        self._defined = self._service_died = False
        self._episodes: dict[int, str] = {}
        """Evaluation episodes so far: step to caption."""

    @property
    def durability_delay(self) -> float:  # type: ignore[override]  # it is a setting of the run
        """Seconds after which W&B's own process has written what it was given."""
        settings = getattr(self.logger.experiment, "settings", None)
        return 5.0 + float(getattr(settings, "x_transaction_log_flush_interval", None) or 15.0)

    @property
    def destination(self) -> Hashable:
        """The run, and the prefix of the tags."""
        return "W&B", self.logger.experiment.id, self.tag("")

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Log the row; hyperparameters go to the run's config and summary."""
        run = self.logger.experiment
        if self._logged_to is not None and self.step(axes) <= self._logged_to:
            values = {tag: value for tag, value in values.items() if isinstance(value, Hyperparameters)}
        row: dict[str, Any] = {}
        try:
            self._define_axes(run)
            for tag, value in values.items():
                if isinstance(value, Hyperparameters):
                    self._hyperparameters(run, value)
                else:
                    row[self.tag(tag)] = self._encode(value)
                if tag == _EPISODES and isinstance(value, Video):
                    row[self.tag(f"{tag}_table")] = self._episode_table(value, self.step(axes))
                if isinstance(value, Alert):
                    run.alert(title=value.title, text=value.text, level=_LEVELS[value.severity])
            if row:
                run.log(row)
        except Exception as error:
            self._service_died = isinstance(error, ConnectionError) or type(error).__name__ in _DIED
            raise

    def recover(self) -> bool:
        """Where W&B's own process died, start another and continue the run of the same id."""
        if not self._service_died:
            return False
        import wandb  # noqa: PLC0415  # an optional extra

        run_id = self.logger.experiment.id
        with suppress(Exception):  # which tries to reach the dead process
            wandb.teardown()
        self.logger._experiment = wandb.init(**{**self.logger._wandb_init, "id": run_id})
        self._defined = self._service_died = False
        self._logged_to = last_logged_step(self.logger.experiment, self._axis)
        return True

    def close(self) -> None:
        """Nothing to do: W&B's own process has the rows already."""

    def begin(self, first_step: int) -> None:
        """Continue the run of the same id if an earlier process has begun it: its rows stay and are not repeated."""
        if last_step_of(self.logger) is None:
            self.resume(first_step - 1)
        if self._logged_to is not None:
            text = "W&B has rows of the run %s up to step %d already; its series continue after that"
            _log.warning(text, self.logger.experiment.id, self._logged_to)

    def resume(self, last_step: int) -> None:
        """Continue the run of the same id: rows that W&B has stay, and only later ones are logged."""
        logged = last_logged_step(self.logger.experiment, self._axis), last_step_of(self.logger)
        self._logged_to = max((step for step in logged if step is not None), default=None)

    @property
    def _axis(self) -> str:
        """The column of the x axis."""
        return self.tag(f"time/{self.x_axis}")

    def _define_axes(self, run: Any) -> None:
        if self._defined:
            return
        run.define_metric(self._axis)
        run.define_metric("*", step_metric=self._axis, step_sync=True)
        for tag in _BEST:
            run.define_metric(self.tag(tag), step_metric=self._axis, step_sync=True, summary="max,last")
        self._defined = True

    def _hyperparameters(self, run: Any, value: Hyperparameters) -> None:
        if value.status == "running":
            run.config.update(dict(value.settings), allow_val_change=True)
        else:
            run.summary.update({self.tag(tag): number for tag, number in value.metrics.items() if number is not None})

    def _episode_table(self, episode: Video, step: int) -> Any:
        """All evaluation episodes so far; the videos themselves are in their panel, at the same steps."""
        import wandb  # noqa: PLC0415  # an optional extra

        self._episodes[step] = episode.caption
        return wandb.Table(columns=[self._axis, "episode"], data=[list(entry) for entry in self._episodes.items()])

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
