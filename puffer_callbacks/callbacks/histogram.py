"""``HistogramCallback``: distributions of weights, gradients, activations and the rollout."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

from torch import Tensor

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.guarded import can_run_alone, guarded, guarded_state
from puffer_callbacks.callbacks.kept_rollout import KeptRollout, histograms_of
from puffer_callbacks.histogram.over_ranks import gather_merged, histograms_over_ranks
from puffer_callbacks.measure.forward_pass.activations import activations
from puffer_callbacks.measure.forward_pass.batches import first_samples
from puffer_callbacks.measure.forward_pass.isolation import isolated
from puffer_callbacks.measure.parameter_names import Selection, merged_by_module, optimized, plain_name
from puffer_callbacks.recorder.optimizer_schedule import OptimizerSchedule, OptimizerStep
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every, check_flags
from puffer_callbacks.values import Histogram, Value
from puffer_callbacks.values.checkpointing import to_states

_SAMPLES = 256


class HistogramCallback(PufferCallback):
    """Logs histograms of weights and gradients, and of the rollout's advantages, values, rewards and actions.

    Gradients are after accumulation and unscaling, before the clip. They belong to one step of one optimizer: the
    step that crosses the interval, or the optimizer's first one after it. Those that were clipped by other means than
    ``torch.nn.utils`` are ``gradients/clipped/<parameter>``. The first histograms are of the first step, the last
    ones, without gradients, of the end of training.

    Args:
        every_n_steps: the interval, in optimizer steps.
        weights: whether to log ``weights/<parameter>``.
        gradients: whether to log ``gradients/<parameter>``.
        activations: whether to log ``activations/<layer>``, by a forward pass of the first training batch that leaves
            nothing behind.
        include: patterns of the parameters and layers to log, such as ``"*.weight"``; all where ``None``.
        exclude: patterns of those to leave out.
        group_by: ``"module"`` for one histogram for each module, where a model has very many parameters.

    Raises:
        TypeError: if a pattern is no string, or an option that is true or false is something else.
        ValueError: if the interval is below 1, or ``group_by`` is another word.

    Example:
        >>> HistogramCallback(every_n_steps=500, gradients=False, exclude="*.bias").every_n_steps
        500
    """

    expensive = True
    reads_metrics = False
    uses_collectives = True

    def __init__(
        self,
        every_n_steps: int = 1000,
        *,
        weights: bool = True,
        gradients: bool = True,
        activations: bool = False,
        include: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] = (),
        group_by: Literal["module"] | None = None,
    ) -> None:
        if group_by not in (None, "module"):
            raise ValueError(f"group_by: expected 'module' or None, got {group_by!r}")
        check_flags(weights=weights, gradients=gradients, activations=activations)
        self._every = Every(every_n_steps, at_start=True)
        self.every_n_steps = every_n_steps
        self.gradient_schedule = OptimizerSchedule(self._every) if gradients else None
        self.weights = weights
        self.gradients = gradients
        self.activations = activations
        self.group_by = group_by
        self.unused_hooks = () if activations else (HistogramCallback.on_train_batch_start,)
        self._selection = Selection(include, exclude)
        self._reset(is_first_rank=True)

    def reset(self, trainer: Any) -> None:
        """Forget earlier runs."""
        self._reset(is_first_rank=trainer.is_global_zero)

    def _reset(self, *, is_first_rank: bool) -> None:
        self._rollout, self._is_first_rank = KeptRollout(), is_first_rank
        self._gradients: dict[int, dict[str, Histogram]] = {}
        self._recorded_at: int | None = None
        self._probe: Any = None
        self._has_no_probe = False

    @property
    def state_key(self) -> str:
        """The key in checkpoints: callbacks with other options stand side by side."""
        options = (self.every_n_steps, self.weights, self.gradients, self.activations, self.group_by)
        patterns = (self._selection.include, self._selection.exclude)
        return f"{type(self).__qualname__}{options if patterns == (None, ()) else options + patterns}"

    @guarded
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Warn about patterns that match nothing."""
        names = [plain_name(name) for name, _ in (*pl_module.named_parameters(), *pl_module.named_modules())]
        for pattern in self._selection.unmatched(names):
            reason = f"the pattern {pattern!r} matches no parameter; expected one such as {names[:3]}"
            Recorder.of(trainer).faults.report(f"HistogramCallback({pattern!r})", reason)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Keep the first batch, for activations."""
        if self.activations and self._probe is None and not self._has_no_probe:
            self._keep_probe(trainer, pl_module, batch)

    @guarded
    def _keep_probe(self, trainer: Any, pl_module: Any, batch: Any) -> None:
        self._has_no_probe = not can_run_alone(trainer, pl_module, name="HistogramCallback(activations=True)")
        if not self._has_no_probe:
            self._probe = first_samples(batch, pl_module, count=_SAMPLES)

    @guarded
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Keep what the next firing shows of the rollout."""
        self._rollout.update(rollout)

    def before_optimizer_step(
        self, trainer: Any, pl_module: Any, optimizer: Any, step: OptimizerStep
    ) -> Callable[[], None] | None:
        """Count the gradients of a step that crosses the interval."""
        if step.index in self._gradients:  # once in a training step
            return None
        prefix = "gradients/clipped" if step.is_clipped else "gradients"
        gradients = {
            f"{prefix}/{name}": p.grad
            for name, p in optimized(pl_module, optimizer).items()
            if p.grad is not None and name in self._selection
        }
        found = self._histograms(gradients)
        return lambda: self._after_optimizer_step(step, found)

    def _after_optimizer_step(self, step: OptimizerStep, gradients: dict[str, Histogram]) -> None:
        self._gradients[step.index] = gradients
        if self.gradient_schedule is not None:
            self.gradient_schedule.mark(step)

    @property
    def next_step(self) -> int:
        """The optimizer step of the next firing; the present one where gradients were counted."""
        return 0 if self._gradients else self._every.next

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Log them, the weights and the rollout where this step crossed the interval."""
        recorder = Recorder.of(trainer)
        gradients, self._gradients = self._gradients, {}
        found: dict[str, Value] = {tag: each for named in gradients.values() for tag, each in named.items()}
        if self._every.fires(recorder.counters.optimizer_steps):
            found |= self._model_and_rollout(trainer, pl_module)
        recorder.record(found)

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the weights that training ended with, and the last rollout."""
        recorder = Recorder.of(trainer)
        if recorder.counters.optimizer_steps != self._recorded_at:
            recorder.record(self._model_and_rollout(trainer, pl_module))

    @guarded_state
    def state_dict(self) -> dict[str, Any]:
        """The histograms that the interval's end may show, those of gradients of this step, and the schedules."""
        schedule = self.gradient_schedule.state_dict() if self.gradient_schedule is not None else None
        gradients = {index: to_states(each) for index, each in self._gradients.items()}
        own = {"rollout": self._rollout.state_dict(), "gradients": gradients}
        return super().state_dict() | own | {"schedule": schedule}

    def gather_state(self, state: dict[str, Any]) -> None:
        """Merge the rollouts of all ranks."""
        merged = gather_merged(self._rollout.histograms())
        state["rollout"]["histograms"] = to_states(merged)

    @guarded_state
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the interval of a checkpoint."""
        super().load_state_dict(state_dict)
        self._rollout.load_state_dict(state_dict["rollout"], is_first_rank=self._is_first_rank)
        self._gradients = {index: histograms_of(each) for index, each in state_dict.get("gradients", {}).items()}
        if self.gradient_schedule is not None:
            self.gradient_schedule.load_state_dict(state_dict.get("schedule"))

    def _model_and_rollout(self, trainer: Any, module: Any) -> dict[str, Value]:
        self._recorded_at = Recorder.of(trainer).counters.optimizer_steps
        return {**self._histograms(self._model_tensors(module)), **self._of_rollout(trainer)}

    def _histograms(self, tensors: dict[str, Tensor]) -> dict[str, Histogram]:
        sharded = any(hasattr(tensor, "placements") for tensor in tensors.values())  # then on every rank alike
        found = histograms_over_ranks(tensors, replicated=True) if sharded else Histogram.of_all(tensors)
        return merged_by_module(found) if self.group_by else found

    def _model_tensors(self, module: Any) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        if self.weights:
            named = ((plain_name(name), p.detach()) for name, p in module.named_parameters())
            tensors = {f"weights/{name}": weight for name, weight in named if name in self._selection}
        if self.activations and not self._has_no_probe:
            with isolated(module):
                layers = activations(module, self._probe).items()
            tensors |= {f"activations/{name}": out for name, out in layers if name in self._selection}
        return tensors

    def _of_rollout(self, trainer: Any) -> dict[str, Value]:
        """Of the last rollout of all ranks."""
        found = self._rollout.histograms()
        return dict(gather_merged(found)) if trainer.world_size > 1 else dict(found)
