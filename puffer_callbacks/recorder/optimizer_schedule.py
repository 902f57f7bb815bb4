"""``OptimizerStep`` and ``OptimizerSchedule``: which steps of each optimizer a callback measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from puffer_callbacks.schedule import Every


@dataclass(frozen=True)
class OptimizerStep:
    """A step that an optimizer is about to take.

    Args:
        index: of the optimizer.
        count: the optimizer's own steps, this one included.
        optimizer_steps: the run's steps once it is taken.
        is_clipped: whether its gradients are not those of the backward pass any more, as after a clip by other means
            than ``torch.nn.utils``.
        followed: a parameter, of which ``has_old_gradients`` is known.
        has_old_gradients: whether its gradient was added to that of the optimizer's step before, a 0-d tensor;
            ``None`` where the backward passes between the two were not watched (see ``OldGradients``).
        gap: the run's steps within which the optimizer is expected to step again.
    """

    index: int
    count: int
    optimizer_steps: int
    is_clipped: bool = False
    followed: Tensor | None = None
    has_old_gradients: Tensor | None = None
    gap: int = 1


class OptimizerSchedule:
    """When a callback measures the steps of each optimizer: the step that crosses its interval, or the first after it.

    Args:
        every: the interval, in the run's optimizer steps.
        lead_steps: how many steps of the optimizer before a firing the callback wants to be called already.
    """

    def __init__(self, every: Every, *, lead_steps: int = 0) -> None:
        self._every, self._lead_steps = every, lead_steps
        self._start = 0
        self._last: dict[int, int] = {}
        self._loaded: Mapping[str, Any] | None = None

    def resume_at(self, optimizer_steps: int) -> None:
        """Begin a fit at this step, or continue a checkpoint's."""
        loaded, self._loaded = self._loaded or {"start": optimizer_steps, "last": {}}, None
        self._start, self._last = loaded["start"], dict(loaded["last"])

    def state_dict(self) -> dict[str, Any]:
        """Where each optimizer was measured last: with a step that is overdue at a checkpoint."""
        return dict(self._loaded or {"start": self._start, "last": dict(self._last)})

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Have the next ``resume_at`` continue from a checkpoint, or from none."""
        self._loaded = state

    def called_from(self, index: int, *, gap: int = 1) -> int:
        """The run's step from which on the callback is called for this optimizer.

        Args:
            index: of the optimizer.
            gap: the run's steps within which it is expected to step again.
        """
        return self._every.next_after(self._last.get(index, self._start)) - self._lead_steps * gap

    def inspected_from(self, index: int) -> int:
        """The run's step from which on this optimizer's steps are inspected: at least one before, to watch the next
        backward pass."""
        return self.called_from(index) - (self._lead_steps == 0)

    def is_called(self, step: OptimizerStep) -> bool:
        """Whether the callback is called at the step: it is due, or one of those before a firing."""
        return step.optimizer_steps >= self.called_from(step.index, gap=step.gap)

    def is_due(self, step: OptimizerStep) -> bool:
        """Whether the step crosses the interval."""
        return step.optimizer_steps >= self._every.next_after(self._last.get(step.index, self._start))

    def mark(self, step: OptimizerStep) -> None:
        """Note that the step was measured."""
        self._last[step.index] = step.optimizer_steps
