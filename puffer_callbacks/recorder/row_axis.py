"""``RowAxis``: the x axis of a run's rows."""

from dataclasses import replace
from typing import Literal

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.faults import Faults


class RowAxis:
    """The axis of the rows, and the point of each row on it: the points strictly rise.

    Args:
        wanted: the axis; ``"auto"`` is environment steps from the first one on, and optimizer steps before that.
        faults: where a count that goes back is reported.

    Example:
        >>> axis = RowAxis("auto", Faults())
        >>> axis.x(Axes(None, 4, 0.0)), axis.x(Axes(64, 4, 0.0))
        (4, 64)
        >>> axis.after(7, Axes(None, 4, 0.0)).optimizer_steps
        8
    """

    def __init__(self, wanted: Literal["auto"] | XAxis, faults: Faults) -> None:
        self.wanted = wanted
        self.chosen: XAxis | None = None
        """The axis of the rows that are written."""
        self.resumed: XAxis | None = None
        """The axis of a checkpoint's rows, until another is chosen."""
        self._faults = faults
        self._highest = 0

    def of(self, axes: Axes) -> XAxis:
        """The axis of a row at these axes."""
        axis = self.state()
        if axis is None and self.wanted != "auto":
            axis = self.wanted
        return axis or ("env_steps" if axes.env_steps else "optimizer_steps")

    def x(self, axes: Axes) -> int:
        """The point of the x axis."""
        steps = axes.env_steps if self.of(axes) == "env_steps" else axes.optimizer_steps
        return axes.optimizer_steps if steps is None else steps

    def choose(self, axis: XAxis) -> None:
        """Use this axis from now on."""
        if self.chosen is not None:
            self._highest = 0
        self.chosen = axis

    def state(self) -> XAxis | None:
        """The axis for a checkpoint; ``None`` before the first row."""
        return self.chosen or self.resumed

    def after(self, before: int | None, axes: Axes) -> Axes:
        """The axes, or the point after ``before`` where the count went back or stands still."""
        axis: XAxis = "optimizer_steps" if axes.env_steps is None else self.of(axes)
        x, highest = self.x(axes), self._highest
        self._highest = max(highest, x)
        if before is None or x > before:
            return axes
        if x < highest:
            reason = f"expected a count that only grows, got {x} after {highest}; its rows follow on"
            self._faults.report(axis, reason)
        return replace(axes, **{axis: before + 1})
