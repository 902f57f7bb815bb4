"""Gradients before and after the clip, how far a step moves the weights, and how noisy it is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.callbacks.base import PufferCallback, guarded
from puffer_callbacks.measure.gradients import NoiseScale, inner_products, module_norms, optimized, sample, update_ratio
from puffer_callbacks.measure.norms import norms, total
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.schedule import Every
from puffer_callbacks.values.scalars import Scalar, stacked


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
    meets = True
    looks_ahead = 2  # the step before a firing is compared with it

    def __init__(self, every_n_steps: int = 50) -> None:
        self._every = Every(every_n_steps)
        self.every_n_steps = every_n_steps
        self._noise = NoiseScale()
        self._measures = _Measures()
        self._previous: dict[int, tuple[int, Tensor]] = {}
        self._parameters: dict[tuple[int, ...], dict[str, Any]] = {}
        self._handles: list[Any] = []

    @guarded
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Forget the names of another module's parameters."""
        self._parameters = {}

    @guarded
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Measure the gradients where this step will cross the interval."""
        step = Recorder.of(trainer).counters.optimizer_steps + 1
        fires = self._every.is_due(step)
        if not fires and not self._every.is_due(step + 1):
            return
        parameters = self._of(pl_module, optimizer)
        gradients = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        if not gradients:
            return
        with torch.no_grad():
            if fires:
                self._measures.add("norms", gradients, norms(gradients.values()))
                self._watch_step(optimizer, {name: parameters[name] for name in gradients})
            self._compare(step, gradients.values(), optimizer)

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Mapping[str, Scalar]) -> None:
        """Log what was measured."""
        recorder = Recorder.of(trainer)
        self._release()
        if self._every.fires(recorder.counters.optimizer_steps) and self._measures:
            measures, self._measures = self._measures, _Measures()
            recorder.record(dict(self._found(measures, recorder)))
            if self._every.n > 1:
                self._previous = {}

    @guarded
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

    def _of(self, module: Any, optimizer: Any) -> dict[str, Any]:
        """The optimizer's parameters by name; to look for names costs more than to measure a small model."""
        key: tuple[int, ...] = tuple(id(parameter) for group in optimizer.param_groups for parameter in group["params"])
        if key not in self._parameters:
            self._parameters[key] = optimized(module, optimizer)
        return self._parameters[key]

    def _watch_step(self, optimizer: Any, parameters: Mapping[str, Any]) -> None:
        """Look again right after the step: at the clipped gradients, and at what the step did."""
        before, sizes = sample(parameters.values())
        measures = self._measures

        @torch.no_grad()
        def after_step(*_: object) -> None:
            clipped = {name: p.grad for name, p in parameters.items() if p.grad is not None}
            measures.add("clipped", clipped, norms(clipped.values()))
            after = sample(parameters.values())[0]
            measures.add("changes", parameters, norms(torch.split(after - before, sizes)))
            measures.add("weights", parameters, norms(torch.split(before, sizes)))

        inner = getattr(optimizer, "optimizer", optimizer)
        self._handles.append(inner.register_step_post_hook(after_step))

    def _compare(self, step: int, gradients: Iterable[Tensor], optimizer: Any) -> None:
        """Hold this step's gradients against those of the step before."""
        kept, _ = sample(gradients)
        at, previous = self._previous.get(id(optimizer), (0, kept))
        if at == step - 1 and previous.shape == kept.shape:
            self._measures.add("products", ("first", "second", "inner"), inner_products(previous, kept))
        self._previous[id(optimizer)] = (step, kept)

    def _release(self) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _found(self, measures: "_Measures", recorder: Recorder) -> dict[str, float]:
        found = measures.to_host()
        each, changes, weights = found["norms"], found["changes"], found["weights"]
        values = {f"update_ratio/{name}": update_ratio(changes[name], weights[name]) for name in changes}
        values["gradient_norm/total"] = total(each.values())
        values |= {f"gradient_norm/{name}": norm for name, norm in module_norms(each).items()}
        if found["clipped"]:
            values["gradient_norm/clipped"] = total(found["clipped"].values())
        if found["products"]:
            values["gradient_noise_scale"] = self._noise.update(**found["products"], batch_size=recorder.batch_size)
        return values


class _Measures:
    """What is measured at a firing, on the device: all of it reaches the host together."""

    def __init__(self) -> None:
        self._blocks: list[tuple[str, list[str], Tensor]] = []

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def add(self, kind: str, names: Iterable[str], numbers: Sequence[Tensor]) -> None:
        """Add 0-d tensors."""
        if numbers:
            block = stacked(list(numbers)).double()
            self._blocks.append((kind, list(names), block.to(self._blocks[0][2].device) if self._blocks else block))

    def to_host(self) -> dict[str, dict[str, float]]:
        """Kind to name to number; numbers of one kind and name, from several optimizers, add up."""
        numbers = iter(torch.cat([block for _, _, block in self._blocks]).tolist())
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for kind, names, _ in self._blocks:
            for name in names:
                found[kind][name] = found[kind].get(name, 0.0) + next(numbers)
        return found
