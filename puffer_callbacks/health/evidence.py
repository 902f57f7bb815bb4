"""What a rule may look at: the series of a run and the facts about it."""

from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np

from puffer_callbacks.health.facts import Facts
from puffer_callbacks.health.finding import Number
from puffer_callbacks.health.our_tags import are_of_rewards, with_our_tags
from puffer_callbacks.health.returns import Returns, returns_of
from puffer_callbacks.health.series import Series, median

BURN_IN = 0.1
"""The share of a run on which no threshold is judged: much that is alarming later is normal there."""
LOOKS = 5
"""Points that do of a statistic over a whole rollout, which a live run logs more and more rarely."""
_RETURNS = ("train/reward", "rollout/return_mean", "rollout/ep_rew_mean")
_MIN_RETURNS = 8
_MIN_UNPLANNED = 30
_LATE = 0.9
"""The share of a run after which what has not come will hardly come."""


class NotJudged(Exception):  # an outcome, not an error
    """Raised by a rule that lacks the evidence it needs; the message is the reason."""


class Evidence:
    """The series of a run, by tag, and the facts about it.

    Args:
        series: tag to (steps [n], values [n]).
        facts: what else is known.

    Raises:
        ValueError: if a series has not as many values as steps.

    Example:
        >>> evidence = Evidence({"train/entropy": (np.array([1, 2]), np.array([0.6, np.nan]))}, Facts())
        >>> evidence.get("train/entropy").values.tolist()
        [0.6]
    """

    def __init__(self, series: Mapping[str, tuple[np.ndarray, np.ndarray]], facts: Facts) -> None:
        self.raw = with_our_tags({tag: Series.of(*points, tag=tag) for tag, points in series.items()})
        self.facts = facts
        self._finite: dict[str, Series] = {}

    @cached_property
    def first_step(self) -> int:
        """The first step of any series."""
        return min((int(s.steps[0]) for s in self.raw.values() if len(s.steps)), default=0)

    @cached_property
    def last_step(self) -> int:
        """The last step of any series."""
        return max((int(s.steps[-1]) for s in self.raw.values() if len(s.steps)), default=0)

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last step."""
        return self.first_step, self.last_step

    @property
    def total_steps(self) -> float:
        """The steps that the run is meant to have, or those that it has."""
        return max(self.facts.total_steps or 0, self.last_step)

    @property
    def length(self) -> float | None:
        """The steps that the run is meant to have, or has had where it has ended; ``None`` where they are unknown."""
        is_known = self.facts.total_steps is not None or not self.facts.in_progress
        return self.total_steps if is_known else None

    @property
    def is_late(self) -> bool:
        """Whether the last tenth of the run has begun; where its length is unknown, its end has to come."""
        return self.length is not None and self.last_step >= _LATE * self.length

    @property
    def burn_in(self) -> float:
        """The step from which on thresholds are judged."""
        return self.first_step + BURN_IN * (self.total_steps - self.first_step)

    @cached_property
    def returns(self) -> Returns | None:
        """The return's movement; ``None`` with fewer than eight points, and where it measures nothing."""
        found = (self.find(tag) for tag in _RETURNS)
        series = next((s for s in found if s is not None and len(s.values) >= _MIN_RETURNS), None)
        if series is None:
            return None
        returns, lengths = returns_of(series), self.find("train/episode_length")
        is_game = returns.are_those_of_a_game(*map(self.median, ("rollout/return_min", "rollout/return_max")))
        return None if is_game or (lengths is not None and returns.come_sooner_or_later(lengths)) else returns

    @property
    def required_returns(self) -> Returns:
        """As ``returns``, for rules that need them.

        Raises:
            NotJudged: as ``returns`` is ``None``.
        """
        if self.returns is None:
            raise NotJudged(f"needs {_MIN_RETURNS} points of train/reward, not of a game between equals or all alike")
        return self.returns

    @property
    def returns_since_beginning(self) -> Returns:
        """As ``required_returns``, for symptoms that a policy which has learned shows too.

        Raises:
            NotJudged: as ``required_returns``, and without the beginning of the run.
        """
        self.require_beginning()
        return self.required_returns

    @cached_property
    def does_well(self) -> bool:
        """Whether the return improved and kept that; of supervised training, whether the loss has fallen."""
        if self.returns is not None:
            return self.returns.healthy
        loss = self.find("train/loss")
        if loss is None or len(loss.values) < _MIN_RETURNS or self.learns_from_rewards:
            return False
        negated = returns_of(Series(loss.steps, -loss.values))
        return negated.improved

    @cached_property
    def learns_from_rewards(self) -> bool:
        """Whether anything shows rewards, an environment, or the loss of a policy or of values."""
        return self.facts.are_of_rewards or are_of_rewards(self.raw)

    def require_share(self, share: float, series: Series) -> None:
        """Wait, for symptoms that a sound run shows too before it has learned.

        Args:
            share: of the steps that the run is meant to have.
            series: of which 30 points do in the log of a run whose length is unknown.

        Raises:
            NotJudged: if it is too early.
        """
        planned = self.facts.total_steps
        if planned is not None and self.last_step < share * planned:
            raise NotJudged(f"needs {share:.0%} of the run's {planned:.0f} steps")
        if planned is None and self.facts.in_progress:
            raise NotJudged("needs total_timesteps in the configuration, or the end of the run: it may have just begun")
        if planned is None and len(series.values) < _MIN_UNPLANNED:
            raise NotJudged(f"needs {_MIN_UNPLANNED} points, has {len(series.values)}: the run may be at its beginning")

    def lasts(self, state: Series, share: float) -> bool:
        """Whether a state has lasted for a share of the run's steps; its points are dense at the beginning.

        Args:
            state: the points at which it was seen, at least one.
            share: of the run; where its length is unknown, 30 points do.
        """
        if self.length is None:
            return len(state.values) >= _MIN_UNPLANNED
        return bool(state.steps[-1] - state.steps[0] >= share * self.length)

    def require_beginning(self) -> None:
        """For what is judged against the run's beginning; a log of the part after a resume has none.

        Raises:
            NotJudged: if the first fifth of the run is missing.
        """
        if self.first_step > 0.2 * self.last_step:
            raise NotJudged("needs the beginning of the run")

    def find(self, tag: str) -> Series | None:
        """The finite points of a series, or ``None`` where there are none."""
        if tag not in self._finite:
            raw = self.raw.get(tag)
            self._finite[tag] = Series(np.zeros(0, np.int64), np.zeros(0)) if raw is None else raw.finite()
        series = self._finite[tag]
        return series if len(series.values) else None

    def get(self, tag: str, *, points: int = 1) -> Series:
        """The finite points of a series.

        Raises:
            NotJudged: if there are fewer than ``points``.
        """
        series = self.find(tag)
        found = 0 if series is None else len(series.values)
        if series is None or found < points:
            raise NotJudged(f"needs {points} point{'s' * (points != 1)} of {tag}, has {found}")
        return series

    def judged(self, tag: str, *, points: int = 8) -> Series:
        """As ``get``, without the first part of the run."""
        series = self.get(tag).after(self.burn_in)
        if len(series.values) < points:
            raise NotJudged(
                f"needs {points} points of {tag} after the first tenth of the run, has {len(series.values)}"
            )
        return series

    def matching(self, prefix: str) -> dict[str, Series]:
        """Finite series by what follows the prefix in their tags."""
        found = {tag.removeprefix(prefix): self.find(tag) for tag in self.raw if tag.startswith(prefix)}
        return {name: series for name, series in found.items() if series is not None}

    def median(self, tag: str, *, after: float = 0) -> float | None:
        """The median of a series from a step on, or ``None``."""
        series = self.find(tag)
        values = None if series is None else series.after(after).values
        return None if values is None or not len(values) else median(values)

    def numbers(self, tags: Iterable[str], step: int) -> tuple[Number, ...]:
        """The latest values of several series at a step, for a finding's evidence."""
        found = []
        for tag in tags:
            series = self.find(tag)
            value = np.nan if series is None else series.at(np.array([step]))[0]
            if np.isfinite(value):
                found.append(Number(tag, float(value), int(step)))
        return tuple(found)
