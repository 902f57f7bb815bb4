"""``GradientCallback``: gradient norms before and after the clip, update ratios, gradient noise scale."""

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from operator import is_not
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.guarded import guarded, guarded_state
from puffer_callbacks.callbacks.step_measures import StepMeasures
from puffer_callbacks.measure.gradients import NoiseScale, inner_products, module_norms, sample, update_ratio
from puffer_callbacks.measure.norms import norms, total
from puffer_callbacks.measure.parameter_names import optimized
from puffer_callbacks.recorder.optimizer_schedule import OptimizerSchedule, OptimizerStep
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.schedule import Every
from puffer_callbacks.values.scalars import Scalar

_MAX_SAVED = 2**18
"""Gradients of the step before a measured one are saved in a checkpoint if there are at most so many."""


class GradientCallback(PufferCallback):
    """Logs gradient norms, update ratios and the gradient noise scale.

    ``gradient_norm/total`` and ``gradient_norm/<module>`` are after accumulation and unscaling, before the clip;
    ``gradient_norm/clipped`` is the total that the optimizer then steps with. Where gradients were clipped by other
    means than ``torch.nn.utils``, there is no ``total``, and a module's norm is ``gradient_norm/clipped/<module>``.
    ``update_ratio/<parameter>`` is |update| / |weight| of the step, left out where both are 0. ``gradient_noise_scale``
    is in examples where the batch has tensors, else in batches, those that are accumulated and of other ranks included
    (see ``puffer_callbacks.measure.gradients.NoiseScale``), and left out where the estimator has no answer.
    ``old_gradients/<parameter>``, of one parameter of each optimizer, is 1 where the gradients of the step before were
    not zeroed. All of them are of the module's parameters: a bare tensor that an optimizer holds, such as SAC's
    ``log_ent_coef``, has no name; as an ``nn.Parameter`` it is one of them.

    Each number belongs to one step of one optimizer: the step that crosses the interval, or the optimizer's first one
    after it. Steps that a gradient scaler skips are left out. With several optimizers ``total`` and ``clipped`` are
    over those that step in the training step that crosses the interval.

    Args:
        every_n_steps: the interval, in optimizer steps.

    Raises:
        ValueError: if the interval is below 1.

    Example:
        >>> GradientCallback(every_n_steps=10).every_n_steps
        10
    """

    expensive = True
    uses_collectives = True
    reads_metrics = False

    def __init__(self, every_n_steps: int = 50) -> None:
        self._every = Every(every_n_steps)
        self.every_n_steps = every_n_steps
        # a step is compared with the one before
        self.gradient_schedule: OptimizerSchedule = OptimizerSchedule(self._every, lead_steps=1)
        GradientCallback.reset(self, None)  # not that of a subclass, which may read the trainer

    def reset(self, trainer: Any) -> None:
        """Forget earlier runs."""
        self._noise = NoiseScale()
        self._measured: dict[int, StepMeasures] = {}
        self._previous: dict[int, tuple[int, Tensor]] = {}
        self._parameters: dict[int, tuple[list[Any], dict[str, Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_parameters": {}}  # a copy of the callback is none of the module

    @torch.no_grad()
    def before_optimizer_step(
        self, trainer: Any, pl_module: Any, optimizer: Any, step: OptimizerStep
    ) -> Callable[[], None] | None:
        """Measure the gradients of a step that crosses the interval, and keep those of the step before it."""
        measured = self._measured.get(step.index)  # once in a training step, and two steps in a row for the noise scale
        if measured is not None and "products" in measured.numbers:
            return None
        parameters = self._parameters_of(pl_module, optimizer, step.index)
        gradients = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        if not gradients:
            if not parameters:  # bare tensors have no name: it is not due at each of its steps from now on
                self.gradient_schedule.mark(step)
            return None
        kept, _ = sample(gradients.values())
        if not self.gradient_schedule.is_due(step):
            self._previous[step.index] = (step.count, kept)
            return None
        products = self._products(step, kept)
        if measured is not None:
            return lambda: self._keep(measured, step, kept, products)
        measures = StepMeasures(step.is_clipped)
        measures.numbers["norms"] = dict(zip(gradients, norms(gradients.values()), strict=True))
        if step.has_old_gradients is not None and not step.is_clipped:  # else another may have replaced them
            followed = [name for name in gradients if parameters[name] is step.followed]
            measures.numbers["old"] = dict.fromkeys(followed, step.has_old_gradients)
        stepped = {name: parameters[name] for name in gradients}
        before = sample(stepped.values())

        def finish() -> None:
            self._after_optimizer_step(measures, step, stepped, before)
            self._keep(measures, step, kept, products)

        return finish

    @torch.no_grad()
    def _after_optimizer_step(
        self, measures: StepMeasures, step: OptimizerStep, parameters: dict[str, Any], before: tuple[Tensor, list[int]]
    ) -> None:
        """Measure the clipped gradients, and what the step changed."""
        weights, sizes = before
        clipped = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        changes = torch.split(sample(parameters.values())[0] - weights, sizes)
        numbers = iter(norms([*clipped.values(), *changes, *torch.split(weights, sizes)]))
        for kind, names in (("clipped", clipped), ("changes", parameters), ("weights", parameters)):
            measures.numbers[kind] = {name: next(numbers) for name in names}
        self._measured[step.index] = measures
        self.gradient_schedule.mark(step)

    @property
    def next_step(self) -> int:
        """The present step where one was measured, else none."""
        return 0 if self._measured else sys.maxsize

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Mapping[str, Scalar]) -> None:
        """Log what was measured at this training step."""
        recorder = Recorder.of(trainer)
        measured, self._measured = self._measured, {}
        if measured:
            crossed = self._every.fires(recorder.counters.optimizer_steps)
            batch_size = recorder.run.steps.batch_size if recorder.run.steps is not None else 1
            recorder.record(self._values(measured, with_total=crossed, batch_size=batch_size))

    @guarded_state
    def state_dict(self) -> dict[str, Any]:
        """The noise scale's averages, the gradients of a step before one that is measured, what was measured in this
        step, and the schedules."""
        kept = {index: each for index, each in self._previous.items() if each[1].numel() <= _MAX_SAVED}
        previous = {index: (count, gradients.cpu()) for index, (count, gradients) in kept.items()}
        measured = {index: measures.state_dict() for index, measures in self._measured.items()}
        own = {"noise": self._noise.state_dict(), "previous": previous, "measured": measured}
        return super().state_dict() | own | {"schedule": self.gradient_schedule.state_dict()}

    @guarded_state
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state_dict)
        self._noise.load_state_dict(state_dict["noise"])
        self._previous, self._parameters = dict(state_dict.get("previous", {})), {}
        self._measured = {index: StepMeasures.of(state) for index, state in state_dict.get("measured", {}).items()}
        self.gradient_schedule.load_state_dict(state_dict.get("schedule"))

    def _parameters_of(self, module: Any, optimizer: Any, index: int) -> dict[str, Any]:
        """The optimizer's parameters by name, which takes longer to find than to measure a small model: they are found
        anew where it holds others, and in a fit of another module, where their names may be others."""
        held = [module, *(parameter for group in optimizer.param_groups for parameter in group["params"])]
        known, found = self._parameters.get(index, ([], {}))
        if len(held) != len(known) or any(map(is_not, held, known)):
            found = optimized(module, optimizer)
            self._parameters[index] = held, found
            if known:  # gradients of other parameters are no second batch of these
                self._previous.pop(index, None)
        return found

    def _products(self, step: OptimizerStep, gradients: Tensor) -> dict[str, Tensor]:
        """Of this step's gradients with those of the optimizer's step before, for the noise scale."""
        count, previous = self._previous.get(step.index, (-1, gradients))
        if count != step.count - 1 or previous.shape != gradients.shape or step.is_clipped:
            return {}
        products = inner_products(previous.to(gradients.device), gradients)
        return dict(zip(("first", "second", "inner"), products, strict=True))

    def _keep(
        self, measures: StepMeasures, step: OptimizerStep, gradients: Tensor, products: dict[str, Tensor]
    ) -> None:
        """Keep them once the step is taken: a gradient scaler may skip it and announce it again."""
        self._previous.pop(step.index, None)
        if self.gradient_schedule.is_called(step):  # the next one is measured, too
            self._previous[step.index] = (step.count, gradients)
        if products:
            measures.numbers["products"] = products

    def _values(self, measured: dict[int, StepMeasures], *, with_total: bool, batch_size: int) -> dict[str, float]:
        found: dict[str, dict[str, float]] = defaultdict(dict)
        products: list[dict[str, float]] = []
        is_clipped = any(measures.is_clipped for measures in measured.values())
        for numbers in map(StepMeasures.to_host, measured.values()):
            products += [numbers.pop("products")] if "products" in numbers else []
            for kind, values in numbers.items():
                found[kind] |= values
        ratios = {name: update_ratio(change, found["weights"][name]) for name, change in found["changes"].items()}
        values = {f"update_ratio/{name}": ratio for name, ratio in ratios.items() if ratio is not None}
        values |= {f"old_gradients/{name}": is_old for name, is_old in found["old"].items()}
        prefix = "gradient_norm/clipped" if is_clipped else "gradient_norm"
        values |= {f"{prefix}/{name}": norm for name, norm in module_norms(found["norms"]).items()}
        if with_total:
            values |= {} if is_clipped else {"gradient_norm/total": total(found["norms"].values())}
            values["gradient_norm/clipped"] = total(found["clipped"].values())
        if len(products) == len(measured):  # of one gradient over all optimizers
            summed = {name: math.fsum(each[name] for each in products) for name in products[0]}
            noise = self._noise.update(**summed, batch_size=batch_size)
            values |= {} if noise is None or not math.isfinite(noise) else {"gradient_noise_scale": noise}
        return values
