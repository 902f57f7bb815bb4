"""Steps per second between the rows of a run."""

from puffer_callbacks.axes import Axes


class Throughput:
    """Environment steps per second, or optimizer steps for a run without an environment.

    Example:
        >>> throughput = Throughput()
        >>> throughput.start(Axes(0, 0, wall_time=10.0))
        >>> throughput.since_last(Axes(2048, 32, wall_time=12.0))
        {'throughput/sps': 1024.0}
    """

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def start(self, axes: Axes) -> None:
        """Begin to measure at this point of the run."""
        self._last = (_steps(axes), axes.wall_time)

    def since_last(self, axes: Axes) -> dict[str, float]:
        """The rate since the last row at which there were fewer steps; nothing where there are no more since."""
        if self._last is None or not (_steps(axes) > self._last[0] and axes.wall_time > self._last[1]):
            return {}
        rate = (_steps(axes) - self._last[0]) / (axes.wall_time - self._last[1])
        self.start(axes)
        return {"throughput/sps": rate}


def _steps(axes: Axes) -> int:
    return axes.optimizer_steps if axes.env_steps is None else axes.env_steps
