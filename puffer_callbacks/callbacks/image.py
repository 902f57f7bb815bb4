"""``ImageCallback``: observations as pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.guarded import guarded
from puffer_callbacks.pictures.figures import action_figure, reward_figure
from puffer_callbacks.pictures.observations import observation_image
from puffer_callbacks.pictures.space_leaves import flatten_space
from puffer_callbacks.pictures.transitions import Transitions
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every, check_counts, check_flags
from puffer_callbacks.values import Image
from puffer_callbacks.values.shrink import shrink_to_bytes
from puffer_callbacks.values.tags import as_names


class ImageCallback(PufferCallback):
    """Logs pictures of the rollout's observations, always of the same environments, as ``observations``.

    Pixels become frames at even distances through the rollout, numbers a heat map over all of it, text
    lines; each with step, action, value and reward. The leaves of a dict or tuple space are
    ``observations/<leaf>``.

    Args:
        every_n_rollouts: the interval, in rollouts.
        num_envs: environments shown, from the first on.
        num_samples: frames, or lines of text, of each environment.
        figures: whether to draw ``rollout/reward_components`` and ``rollout/action_distribution`` too (matplotlib).
        names: of the numbers of a vector observation; they are numbered by default.
        max_bytes: of one picture as a PNG file; a larger one is scaled down.

    Raises:
        TypeError: if a number is not an integer, or ``figures`` is not true or false.
        ValueError: if one is below 1.

    Example:
        >>> ImageCallback(every_n_rollouts=5, names=["position", "velocity"]).every_n_rollouts
        5
    """

    expensive = True
    interval_unit = "rollouts"

    def __init__(
        self,
        every_n_rollouts: int = 10,
        *,
        num_envs: int = 4,
        num_samples: int = 6,
        figures: bool = False,
        names: str | Sequence[str] = (),
        max_bytes: int = 1_000_000,
    ) -> None:
        check_counts(num_envs=num_envs, num_samples=num_samples, max_bytes=max_bytes)
        check_flags(figures=figures)
        self._every = Every(every_n_rollouts)
        self.every_n_rollouts = every_n_rollouts
        self.num_envs = num_envs
        self.num_samples = num_samples
        self.figures = figures
        self.names = as_names(names)
        self.max_bytes = max_bytes

    @guarded
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Log the observations where this rollout crosses the interval."""
        if rollout.observations is None:
            return
        if not self._every.fires(self._every.last + 1) or not trainer.is_global_zero:
            return
        recorder = Recorder.of(trainer)
        transitions = Transitions.of(rollout, num_envs=self.num_envs)
        for path, leaf in flatten_space(rollout.observations, num_envs=self.num_envs).items():
            tag = f"observations/{path}" if path else "observations"
            with recorder.guard(f"ImageCallback, {tag}"):
                picture = observation_image(
                    leaf, transitions, title=tag, names=self.names, num_samples=self.num_samples
                )
                self._record(recorder, {tag: picture})
        if self.figures:
            with recorder.guard("ImageCallback, figures"):
                rewards, actions = reward_figure(rollout), action_figure(rollout)
                self._record(recorder, {"rollout/reward_components": rewards, "rollout/action_distribution": actions})

    def _record(self, recorder: Recorder, pictures: Mapping[str, Image | None]) -> None:
        """Log the pictures that there are."""
        drawn = ((tag, picture) for tag, picture in pictures.items() if picture is not None)
        recorder.record({tag: shrink_to_bytes(picture, max_bytes=self.max_bytes) for tag, picture in drawn})
