"""What a reader finds in the files of a run, whatever their format."""

import math
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from puffer_callbacks.values import Histogram, Image, Setting, Video

Append = Callable[[Any], None]


class Column:
    """The points of one scalar tag, in the order in which they were written."""

    __slots__ = ("steps", "values", "wall_times")

    def __init__(self) -> None:
        self.steps = array("q")
        self.values = array("d")
        self.wall_times = array("d")

    def add(self, step: int, value: float, wall_time: float = math.nan) -> None:
        """Add a point; ``wall_time`` is in seconds since the epoch, NaN where it is unknown."""
        self.steps.append(step)
        self.values.append(value)
        self.wall_times.append(wall_time)

    def extend(self, steps: Iterable[int], values: Iterable[float], wall_times: Iterable[float]) -> None:
        """Add points, as many as each of the three has."""
        self.steps.extend(steps)
        self.values.extend(values)
        self.wall_times.extend(wall_times)

    @property
    def appends(self) -> tuple[Append, Append, Append]:
        """What adds a step, a value and a wall time: three calls in C, where ``add`` is one more in Python."""
        return self.steps.append, self.values.append, self.wall_times.append

    def drop_from(self, step: int) -> None:
        """Drop the points at ``step`` and beyond."""
        kept = np.array(self.steps) < step
        for part in (self.steps, self.values, self.wall_times):
            part[:] = array(part.typecode, np.array(part)[kept].tobytes())


@dataclass
class Contents:
    """What the files of a run hold. Histograms and pictures, of which a run may have thousands, are decoded on demand.

    Args:
        scalars: tag to its points.
        histograms: tag to (step, function that decodes the histogram).
        images: tag to (step, function that decodes the image or video).
        text: tag to (step, text).
        hyperparameters: name to value.
        problems: one line for each thing that could not be read.
        sessions: begin and end of each session of the run, in seconds since the epoch, where the format has them.
        name: what the run is called, empty where its files hold no name.
    """

    scalars: dict[str, Column] = field(default_factory=dict)
    histograms: dict[str, list[tuple[int, Callable[[], Histogram]]]] = field(default_factory=dict)
    images: dict[str, list[tuple[int, Callable[[], Image | Video]]]] = field(default_factory=dict)
    text: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    hyperparameters: dict[str, Setting] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    sessions: list[tuple[float, float]] = field(default_factory=list)
    name: str = ""

    def __bool__(self) -> bool:
        """Whether there is any value."""
        kinds = self.histograms, self.images, self.text, self.hyperparameters
        return any(map(bool, kinds)) or any(len(column.steps) for column in self.scalars.values())

    def column(self, tag: str) -> Column:
        """The points of a scalar tag, to add to."""
        if tag not in self.scalars:
            self.scalars[tag] = Column()
        return self.scalars[tag]

    def drop_from(self, step: int) -> None:
        """Drop everything at ``step`` and beyond: a resumed run writes it again."""
        for column in self.scalars.values():
            column.drop_from(step)
        kinds: tuple[dict[str, list[tuple[int, Any]]], ...] = (self.histograms, self.images, self.text)
        for points in (points for kind in kinds for points in kind.values()):
            points[:] = [point for point in points if point[0] < step]
