"""Distributions of weights, gradients and the rollout."""

from typing import Any

from torch import Tensor

from puffer_callbacks.callbacks.base import PufferCallback, contained
from puffer_callbacks.measure.sketch import sketch
from puffer_callbacks.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every
from puffer_callbacks.values import Histogram

_ROLLOUT = ("advantages", "values", "rewards", "actions")


class HistogramCallback(PufferCallback):
    """Logs histograms of weights and gradients, and of the rollout's advantages, values, rewards and actions.

    Gradients are taken as the optimizer is about to see them: after accumulation and unscaling, before the clip.

    Args:
        every_n_steps: the interval, in optimizer steps.
        weights: whether to log ``weights/<parameter>``.
        gradients: whether to log ``gradients/<parameter>``.

    Raises:
        ValueError: if the interval is below 1.

    Example:
        >>> HistogramCallback(every_n_steps=500, gradients=False).every_n_steps
        500
    """

    def __init__(self, every_n_steps: int = 1000, *, weights: bool = True, gradients: bool = True) -> None:
        self._every = Every(every_n_steps)
        self.every_n_steps = every_n_steps
        self.weights = weights
        self.gradients = gradients
        self._rollout: Rollout | None = None
        self._gradients: dict[str, Histogram] = {}

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Put the interval under the recorder's budget."""
        super().setup(trainer, pl_module, stage)
        Recorder.of(trainer).budget.register(type(self).__name__, self._every)

    @contained
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Remember the rollout for the next firing."""
        self._rollout = rollout

    @contained
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Log the gradients where this step will cross the interval."""
        recorder = Recorder.of(trainer)
        if self.gradients and self._every.would_fire(recorder.counters.optimizer_steps + 1):
            named = {f"gradients/{n}": p.grad for n, p in pl_module.named_parameters() if p.grad is not None}
            self._gradients |= sketch(named)

    @contained
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Log the weights, and the rollout, where this step crossed the interval."""
        recorder = Recorder.of(trainer)
        if not self._every.fires(recorder.counters.optimizer_steps):
            return
        tensors: dict[str, Tensor] = {}
        gradients, self._gradients = self._gradients, {}
        if self.weights:
            tensors = {f"weights/{name}": p.detach() for name, p in pl_module.named_parameters()}
        if self._rollout is not None:
            fields = {name: getattr(self._rollout, name) for name in _ROLLOUT}
            tensors |= {f"rollout/{name}": value for name, value in fields.items() if value is not None}
        recorder.record({**sketch(tensors), **gradients})

    def state_dict(self) -> dict[str, Any]:
        """Where the interval stands."""
        return {"last": self._every.last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the interval."""
        self._every.restart(state_dict["last"])
