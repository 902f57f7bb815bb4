"""Gradients before and after the clip, how far a step moves the weights, and how noisy it is."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.callbacks.base import PufferCallback, contained
from puffer_callbacks.measure.gradients import (
    NoiseScale,
    inner_products,
    module_norms,
    norms,
    optimized,
    sample,
    total_norm,
    update_ratios,
)
from puffer_callbacks.recorder import Recorder
from puffer_callbacks.schedule import Every
from puffer_callbacks.values.scalars import Scalar, to_floats


class GradientCallback(PufferCallback):
    """Logs gradient norms, update ratios and the gradient noise scale.

    ``gradient_norm/total`` and ``gradient_norm/<module>`` as the optimizer is about to see them: after accumulation
    and unscaling, before the clip; ``gradient_norm/clipped`` is the total that it then steps with.
    ``update_ratio/<parameter>`` is |update| / |weight| of the step. ``gradient_noise_scale`` is in examples where the
    batch tells its size, else in batches (see ``puffer_callbacks.measure.gradients.NoiseScale``).

    Args:
        every_n_steps: the interval, in optimizer steps.

    Raises:
        ValueError: if the interval is below 1.

    Example:
        >>> GradientCallback(every_n_steps=10).every_n_steps
        10
    """

    expensive = True
    looks_ahead = 2  # the step before a firing is compared with it

    def __init__(self, every_n_steps: int = 50) -> None:
        self._every = Every(every_n_steps)
        self.every_n_steps = every_n_steps
        self._noise = NoiseScale()
        self._found: dict[str, Scalar] = {}
        self._norms: dict[str, Tensor] = {}
        self._clipped: list[Tensor] = []
        self._previous: dict[int, tuple[int, Tensor]] = {}
        self._products: Tensor | None = None
        self._handles: list[Any] = []

    @contained
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Measure the gradients where this step will cross the interval."""
        step = Recorder.of(trainer).counters.optimizer_steps + 1
        fires = self._every.would_fire(step)
        if not fires and not self._every.would_fire(step + 1):
            return
        parameters = optimized(pl_module, optimizer)
        with_grad = {name: p for name, p in parameters.items() if p.grad is not None}
        gradients = [p.grad for p in with_grad.values() if p.grad is not None]
        if not gradients:
            return
        if fires:
            self._norms |= dict(zip(with_grad, norms(gradients), strict=True))
            self._watch_step(optimizer, with_grad)
        self._compare(step, gradients, optimizer)

    @contained
    def on_step(self, trainer: Any, pl_module: Any, metrics: Mapping[str, Scalar]) -> None:
        """Log what was measured."""
        recorder = Recorder.of(trainer)
        self._release()
        if self._every.fires(recorder.counters.optimizer_steps) and self._norms:
            self._record(recorder)

    @contained
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave no hook behind."""
        self._release()

    def state_dict(self) -> dict[str, Any]:
        """Where the interval stands, and the noise scale's averages."""
        return {"last": self._every.last, "noise": self._noise.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue."""
        self._every.restart(state_dict["last"])
        self._noise.load_state_dict(state_dict["noise"])

    def _watch_step(self, optimizer: Any, parameters: Mapping[str, Any]) -> None:
        """Look again right after the step: at the clipped gradients, and at what the step did."""
        before = sample(parameters.values())

        def after_step(*_: object) -> None:
            self._clipped += norms([p.grad for p in parameters.values() if p.grad is not None])
            ratios = update_ratios(before, sample(parameters.values()))
            self._found |= {f"update_ratio/{n}": ratio for n, ratio in zip(parameters, ratios, strict=True)}

        inner = getattr(optimizer, "optimizer", optimizer)
        self._handles.append(inner.register_step_post_hook(after_step))

    def _compare(self, step: int, gradients: list[Tensor], optimizer: Any) -> None:
        """Hold this step's gradients against those of the step before."""
        kept = torch.cat(sample(gradients))
        at, previous = self._previous.get(id(optimizer), (0, kept))
        if at == step - 1 and previous.shape == kept.shape:
            products = inner_products(previous, kept)
            self._products = products if self._products is None else self._products + products
        self._previous[id(optimizer)] = (step, kept)

    def _release(self) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _record(self, recorder: Recorder) -> None:
        found = self._found | {"gradient_norm/total": total_norm(self._norms.values())}
        found |= {f"gradient_norm/{name}": norm for name, norm in module_norms(self._norms).items()}
        if self._clipped:
            found["gradient_norm/clipped"] = total_norm(self._clipped)
        if self._products is not None:
            found |= dict(zip(("g1", "g2", "inner"), self._products.unbind(), strict=True))
        floats = to_floats(found)
        if self._products is not None:
            first, second, inner = (floats.pop(name) for name in ("g1", "g2", "inner"))
            size = recorder.batch_size
            floats["gradient_noise_scale"] = self._noise.update(first, second, inner, batch_size=size)
        recorder.record(dict(floats))
        self._found, self._norms, self._clipped, self._products = {}, {}, [], None
        if self._every.n > 1:
            self._previous = {}
