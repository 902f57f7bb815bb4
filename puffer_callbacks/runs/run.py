"""A run as it was read: its series, pictures, text and hyperparameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from puffer_callbacks.runs.aliases import Series, Source
from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.display import as_html, as_text, summarize
from puffer_callbacks.runs.order import in_order, restarts
from puffer_callbacks.runs.sources import source_of
from puffer_callbacks.runs.table import scalar_table
from puffer_callbacks.values import Histogram, Image, Setting, Video

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One training run, read back from disk by ``read_run``.

    Args:
        path: the file or folder it was read from.
        format: ``"tensorboard"``, ``"csv"``, ``"json"`` or ``"wandb"``.
        contents: what the files hold.

    Example:
        >>> contents = Contents()
        >>> contents.column("rollout/ep_rew_mean").add(2048, 21.5)
        >>> run = Run(Path("logs"), "csv", contents)
        >>> run.source, run.series("rollout/ep_rew_mean")
        ('stable-baselines3', (array([2048]), array([21.5])))
        >>> run.canonical["train/reward"]
        (array([2048]), array([21.5]))
    """

    path: Path
    format: str
    contents: Contents

    @property
    def source(self) -> str:
        """The library that wrote the run, identified by its tags; ``"unknown"`` if none is known."""
        return self._source.name

    @property
    def x_axis(self) -> str:
        """What a step counts: ``env_steps``, ``optimizer_steps``, ``iterations``, or ``steps`` if that is unknown."""
        for axis in ("env_steps", "optimizer_steps"):
            steps, values = self.canonical.get(f"time/{axis}", (np.zeros(0), np.zeros(0)))
            if len(steps) and np.array_equal(steps.astype(np.float32), values.astype(np.float32)):
                return axis
        return self._source.x_axis

    @property
    def tags(self) -> list[str]:
        """Every scalar tag with a point, sorted, as the run's own library named it."""
        return sorted(tag for tag, column in self.contents.scalars.items() if len(column.steps))

    @property
    def last_step(self) -> int:
        """The highest step of its last session; 0 for a run without any value."""
        return self._steps[-1]

    @property
    def first_step(self) -> int:
        """The lowest step; 0 for a run without any value."""
        return self._steps[0]

    @cached_property
    def _steps(self) -> tuple[int, int]:
        """The lowest and the highest step of everything that is shown."""
        kinds = (self.contents.histograms, self.contents.images, self.contents.text)
        written = [np.array(column.steps) for column in self.contents.scalars.values()]
        written += [np.array([step for step, _ in points]) for kind in kinds for points in kind.values()]
        ends = [steps[in_order(steps)[[0, -1]]] for steps in written if len(steps)]
        return (int(min(first for first, _ in ends)), int(max(last for _, last in ends))) if ends else (0, 0)

    @cached_property
    def restarts(self) -> list[tuple[int, int]]:
        """Where the steps go back: the step before and the step after, by the tag with the most points."""
        columns = self.contents.scalars.values()
        return restarts(max((column.steps for column in columns), key=len, default=[]))

    @property
    def problems(self) -> list[str]:
        """One line for each part of the files that could not be read, or that the run wrote again."""
        return [*self.contents.problems, *self.left_out]

    @property
    def left_out(self) -> list[str]:
        """One line for each place where the run began to write steps again: only what was written last is judged."""
        again = "the steps go back from {:,} to {:,}; what was written before of that step and beyond is left out"
        return [again.format(*steps) for steps in self.restarts]

    def series(self, tag: str) -> Series:
        """The points of a scalar tag, in the order in which they were written.

        Args:
            tag: one of ``tags``.

        Returns:
            Steps int64 [n] and values float64 [n].

        Raises:
            KeyError: if the run has no such tag; the message names the nearest ones.
        """
        column = self.contents.scalars.get(tag)
        if column is None or not len(column.steps):
            raise KeyError(self._missing(tag))
        return np.array(column.steps, np.int64), np.array(column.values, np.float64)

    @cached_property
    def canonical(self) -> Mapping[str, Series]:
        """The series under our own tags, with our signs and units, for every library.

        ``puffer_callbacks.values.vocabulary`` describes the tags. Those that it does not know are in ``tags`` alone.
        """
        return self._source.translate({tag: self.series(tag) for tag in self.tags})

    @cached_property
    def scalars(self) -> "pd.DataFrame":
        """All scalar points as a tidy table: ``tag``, ``step``, ``value``, ``wall_time``, a row each.

        ``wall_time`` is in seconds since the epoch, NaN where the format does not keep it.

        Raises:
            ImportError: if pandas is missing.
        """
        return scalar_table({tag: self.contents.scalars[tag] for tag in self.tags})

    @cached_property
    def histograms(self) -> Mapping[str, list[tuple[int, Histogram]]]:
        """Tag to (step, histogram)."""
        return self._decoded(self.contents.histograms)

    @cached_property
    def images(self) -> Mapping[str, list[tuple[int, Image | Video]]]:
        """Tag to (step, image), a video where the picture moves."""
        return self._decoded(self.contents.images)

    @property
    def text(self) -> Mapping[str, list[tuple[int, str]]]:
        """Tag to (step, text)."""
        return self.contents.text

    @property
    def hyperparameters(self) -> Mapping[str, Setting]:
        """Name to value; nested names are joined by ``/``."""
        return self.contents.hyperparameters

    @cached_property
    def _source(self) -> Source:
        return source_of(self.tags)

    def _missing(self, tag: str) -> str:
        near = get_close_matches(tag, self.tags, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {len(self.tags)}, see Run.tags"
        if tag in self.canonical:
            hint = f"it is Run.canonical[{tag!r}] here"
        return f"expected a tag of the run {self.path}, got {tag!r}: {hint}"

    def _decoded(self, points: Mapping[str, list[tuple[int, Callable[[], T]]]]) -> dict[str, list[tuple[int, T]]]:
        """All values, decoded; what cannot be decoded becomes a problem."""
        found: dict[str, list[tuple[int, T]]] = {}
        for tag, deferred in sorted(points.items()):
            for step, decode in deferred:
                try:
                    found.setdefault(tag, []).append((step, decode()))
                except Exception as error:  # a damaged picture may fail in any way of its decoder
                    self.contents.problems.append(f"{tag} at step {step} cannot be decoded: {error}")
        return found

    def _facts(self) -> dict[str, str]:
        written = f"{self.source}, {self.format}"
        steps = f"{self.last_step:,} ({self.x_axis.replace('_', ' ')})"
        return {"written by": written, "steps": steps, **summarize(self.contents, self.canonical)}

    def __repr__(self) -> str:
        return as_text(f"Run {self.path}", self._facts())

    def _repr_html_(self) -> str:
        return as_html(f"Run {self.path}", self._facts())
