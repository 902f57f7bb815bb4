"""``WandbWriter``: one history row for each row, the axes as columns."""

import logging
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Alert, Histogram, Hyperparameters, Image, Text, Value, Video
from puffer_callbacks.values.image_files import as_pillow, to_gif
from puffer_callbacks.writers.base import Writer
from puffer_callbacks.writers.wandb.run_file import LoggedRow, last_logged_row, last_of

_log = logging.getLogger("puffer_callbacks")
_DIED = {"MailboxClosedError", "ServiceDiedError", "SockClientClosedError", "WandbServiceConnectionError"}
"""What the versions of W&B raise where their own process has died."""
_PLACE = ("id", "project", "entity", "name", "group", "job_type", "tags", "notes")
"""What a run has from ``wandb.init``, called by the logger or before it by the user."""
_LEVELS = {"info": "INFO", "warning": "WARN", "critical": "ERROR"}
MAX_BINS = 512
"""W&B keeps no histogram with more bins."""
_BEST = ("rollout/return_mean", "rollout/success_rate", "eval/mean_reward")
"""Tags whose largest value a run's summary shows beside the last one."""
_EPISODES = "episodes"
MAX_EPISODES = 500
"""Rows of the table of episodes, the last ones: it is logged anew with each, and checkpoints carry it."""


@dataclass(eq=False)
class _Logged:
    """What a run of W&B was given by this process."""

    row: LoggedRow | None = None
    """The last row."""
    episodes: dict[int, str] = field(default_factory=dict)
    """The last evaluation episodes, those of a checkpoint included: step to caption."""


_LOGGED: WeakKeyDictionary[Any, dict[str, _Logged]] = WeakKeyDictionary()
"""By W&B's run and the prefix of the tags: loggers made one after the other continue a run that is open."""


class WandbWriter(Writer):
    """Writes to a ``WandbLogger``.

    W&B's own step counts rows and must not go back, so rows carry their axes as columns, and ``define_metric``
    names the column that charts are drawn over. What W&B has it keeps: where a run is resumed before its end, the last
    row that it has gains the tags that it lacks, and only later rows are logged whole.

    Args:
        logger: a ``WandbLogger`` of either Lightning namespace.
    """

    reserved = frozenset({"_step", "_runtime"})  # "_timestamp" W&B takes as given

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self._found: LoggedRow | None = None
        """The last row that W&B has from before."""
        self._defined = self._service_died = False

    @property
    def durability_delay(self) -> float:  # type: ignore[override]  # it is a setting of the run
        """Seconds after which W&B's own process has written what it was given."""
        settings = getattr(self.logger.experiment, "settings", None)
        return 5.0 + float(getattr(settings, "x_transaction_log_flush_interval", None) or 15.0)

    @property
    def destination(self) -> Hashable:
        """The run, and the prefix of the tags."""
        return "W&B", self.logger.experiment.id, self.tag("")

    @property
    def place(self) -> Any:
        """The run, for tags of this prefix: loggers made one after the other share it."""
        return self._logged

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Log the row; hyperparameters go to the run's config and summary."""
        run = self.logger.experiment
        episode, step = values.get(_EPISODES), self.step(axes)
        if isinstance(episode, Video):
            self._keep_episode(episode, step)
        row: dict[str, Any] = {}
        try:
            self._define_axes(run)
            for tag, value in self._not_logged(self.without_reserved(values), step).items():
                if isinstance(value, Hyperparameters):
                    self._hyperparameters(run, value)
                else:
                    row[self.tag(tag)] = self._encode(value)
                if tag == _EPISODES and isinstance(value, Video):
                    row[self.tag(f"{tag}_table")] = self._episode_table()
                if isinstance(value, Alert):
                    run.alert(title=value.title, text=value.text, level=_LEVELS[value.severity])
            if row:
                run.log(self._with_axes(row, values, step))
                self._logged.row = last_of(self._logged.row, LoggedRow(step, set(row)))
        except Exception as error:
            self._service_died = isinstance(error, ConnectionError) or type(error).__name__ in _DIED
            raise

    def recover(self) -> bool:
        """Where W&B's own process died, start another and continue the run where it was, the user's own too."""
        if not self._service_died:
            return False
        import wandb  # noqa: PLC0415  # an optional extra

        run, logged = self.logger.experiment, self._logged
        with suppress(Exception):  # which tries to reach the dead process
            wandb.teardown()
        place = {name: getattr(run, name) or None for name in _PLACE}
        place |= {"dir": run.settings.root_dir, "mode": run.settings.mode}
        self.logger._experiment = wandb.init(**{**self.logger._wandb_init, **place, "resume": "allow"})
        self._defined = self._service_died = False
        self._found = last_logged_row(self.logger.experiment, self._axis)
        self._of_run[self.tag("")] = logged
        return True

    def close(self) -> None:
        """Nothing to do: W&B's own process has the rows already."""

    def begin(self, first_step: int) -> None:
        """Continue the run of the same id if an earlier process has begun it: its rows stay and are not repeated."""
        if self._logged.row is None:
            self.resume(first_step - 1)
        if self._found is not None:
            text = "W&B has rows of the run %s up to step %d already; its series continue after that"
            _log.warning(text, self.logger.experiment.id, self._found.step)

    def resume(self, last_step: int) -> None:
        """Continue the run of the same id: what W&B has stays, and only what comes after it is logged."""
        self._found = last_of(last_logged_row(self.logger.experiment, self._axis), self._logged.row)

    def state_dict(self) -> dict[str, Any]:
        """The episodes of the table: their numbers, as their videos are W&B's."""
        return {"episodes": [list(entry) for entry in self._logged.episodes.items()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the episodes; those that this process has logged since stay, as their videos do."""
        self._logged.episodes = dict(state_dict.get("episodes", [])) | self._logged.episodes

    @property
    def _of_run(self) -> dict[str, _Logged]:
        return _LOGGED.setdefault(self.logger.experiment, {})

    @property
    def _logged(self) -> _Logged:
        return self._of_run.setdefault(self.tag(""), _Logged())

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

    def _not_logged(self, values: Mapping[str, Value], step: int) -> Mapping[str, Value]:
        """What W&B does not have yet; the configuration can be set again."""
        if self._found is None or step > self._found.step:
            return values
        logged = self._found.tags if step == self._found.step else {self.tag(tag) for tag in values}
        return {tag: v for tag, v in values.items() if isinstance(v, Hyperparameters) or self.tag(tag) not in logged}

    def _with_axes(self, row: dict[str, Any], values: Mapping[str, Value], step: int) -> dict[str, Any]:
        """A row that completes an earlier one, with the axes that both have; any other as it is."""
        if self._found is None or step > self._found.step:
            return row
        self._found = last_of(self._found, LoggedRow(step, set(row)))
        axes = {self.tag(tag): value for tag, value in values.items() if tag.startswith("time/")}
        return {self._axis: float(step)} | axes | row

    def _keep_episode(self, episode: Video, step: int) -> None:
        """Have an episode in the table; one that W&B has already, too, as a resumed run begins before it."""
        episodes = self._logged.episodes
        episodes[step] = episode.caption
        while len(episodes) > MAX_EPISODES:
            del episodes[next(iter(episodes))]

    def _episode_table(self) -> Any:
        """The evaluation episodes so far; the videos themselves are in their panel, at the same steps."""
        import wandb  # noqa: PLC0415  # an optional extra

        rows: list[Any] = [list(entry) for entry in sorted(self._logged.episodes.items())]
        return wandb.Table(columns=[self._axis, "episode"], data=rows)

    def _encode(self, value: float | Histogram | Image | Video | Text) -> Any:
        import wandb  # noqa: PLC0415  # an optional extra

        if isinstance(value, Histogram):
            return wandb.Histogram(np_histogram=value.coarsened(MAX_BINS))
        if isinstance(value, Image):
            return wandb.Image(as_pillow(value.pixels), caption=value.caption or None)
        if isinstance(value, Video):
            gif = BytesIO(to_gif(value))  # arrays W&B would encode with moviepy
            return wandb.Video(gif, caption=value.caption or None, format="gif")
        return value.text if isinstance(value, Text) else value
