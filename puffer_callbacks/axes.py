"""``Axes``: a point of the run."""

from dataclasses import dataclass, replace
from time import monotonic, time
from typing import Literal

XAxis = Literal["env_steps", "optimizer_steps"]
"""What the loggers' step stands for."""

_BEGAN = time() - monotonic()


def now() -> float:
    """Seconds since the epoch, by a clock that runs evenly: no change of the system's own makes training longer."""
    return _BEGAN + monotonic()


@dataclass(frozen=True)
class Axes:
    """A point of the run on every axis at once.

    Args:
        env_steps: environment steps so far, over all ranks; ``None`` where the run has no environment.
        optimizer_steps: updates so far; with several optimizers, those of the busiest one.
        wall_time: seconds since the epoch.

    Example:
        >>> Axes(env_steps=2048, optimizer_steps=64, wall_time=0.0).as_scalars(elapsed=1.5)
        {'time/env_steps': 2048.0, 'time/optimizer_steps': 64.0, 'time/elapsed': 1.5}
    """

    env_steps: int | None
    optimizer_steps: int
    wall_time: float

    def as_scalars(self, *, elapsed: float) -> dict[str, float]:
        """The axes as values with their tags, so that every row carries every axis.

        Args:
            elapsed: seconds of training so far, resumes included. TensorBoard's scalars are float32, which rounds
                seconds since the epoch to multiples of 128.
        """
        scalars = {} if self.env_steps is None else {"time/env_steps": float(self.env_steps)}
        return scalars | {"time/optimizer_steps": float(self.optimizer_steps), "time/elapsed": elapsed}

    def by_system_clock(self) -> "Axes":
        """This point with its time as the system's clock has it by now, for backends that show it."""
        return replace(self, wall_time=self.wall_time + (time() - now()))
