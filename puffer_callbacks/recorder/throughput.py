"""Steps per second between the rows of a run."""

from puffer_callbacks.axes import Axes


class Throughput:
    """Environment steps per second, or optimizer steps for a run without an environment.

    Example:
        >>> throughput = Throughput()
        >>> throughput.start(Axes(0, 0, wall_time=1e9), elapsed=10.0)
        >>> throughput.since_last(Axes(2048, 32, wall_time=1e9), elapsed=12.0)
        {'throughput/sps': 1024.0}
    """

    def __init__(self) -> None:
        self.last: tuple[int, float] | None = None
        """The steps and the seconds of training at the last row; a checkpoint carries them."""

    def start(self, axes: Axes, *, elapsed: float) -> None:
        """Begin to measure at this point of the run, ``elapsed`` seconds of training after its start."""
        self.last = (_steps(axes), elapsed)

    def since_last(self, axes: Axes, *, elapsed: float) -> dict[str, float]:
        """The rate since the last row at which there were fewer steps; nothing where there are no more since."""
        if self.last is None or not (_steps(axes) > self.last[0] and elapsed > self.last[1]):
            return {}
        rate = (_steps(axes) - self.last[0]) / (elapsed - self.last[1])
        self.start(axes, elapsed=elapsed)
        return {"throughput/sps": rate}


def _steps(axes: Axes) -> int:
    return axes.optimizer_steps if axes.env_steps is None else axes.env_steps
