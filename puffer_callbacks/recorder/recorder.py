"""The recorder of a run: gathers what callbacks say and hands each backend one row at a time."""

import atexit
import os
from collections.abc import Mapping
from typing import Any, Literal

from lightning.pytorch import Callback
from torch import Tensor
from torch.utils._pytree import tree_leaves

from puffer_callbacks.axes import XAxis
from puffer_callbacks.backends.multi_writer import Backends
from puffer_callbacks.config.redact import Redactor
from puffer_callbacks.faults import Faults, format_error
from puffer_callbacks.overhead.budget import Budget
from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.hooks import hide_idle_hooks, is_ours
from puffer_callbacks.recorder.row_log import RowLog
from puffer_callbacks.recorder.steps import Steps
from puffer_callbacks.values import Text, Value
from puffer_callbacks.values.scalars import Scalar, scalars_of
from puffer_callbacks.values.tags import sanitize_tag


class Recorder(Callback):
    """Gathers all that the callbacks of a run say, and writes it as rows: one for each point of the x axis.

    There is one in each run. It creates itself beside the first puffer callback; list it in ``callbacks=[…]``
    only to configure it.

    Args:
        x_axis: what the loggers' step stands for: ``"env_steps"``, ``"optimizer_steps"``, or ``"auto"``,
            which is environment steps where the module has ``env_steps: int``. Every row carries all axes as
            ``axes/…``.
        overhead_budget: the share of the run's time, in (0, 1], that recording may take.
        strict: raise where it would otherwise warn.

    Raises:
        ValueError: if ``x_axis`` is another word, or ``overhead_budget`` is outside (0, 1].

    Example:
        >>> Recorder("optimizer_steps", overhead_budget=0.02).x_axis
        'optimizer_steps'
    """

    def __init__(
        self, x_axis: Literal["auto"] | XAxis = "auto", *, overhead_budget: float = 0.01, strict: bool = False
    ) -> None:
        if x_axis not in ("auto", "env_steps", "optimizer_steps"):
            raise ValueError(f"x_axis: expected 'auto', 'env_steps' or 'optimizer_steps', got {x_axis!r}")
        is_number = isinstance(overhead_budget, int | float) and not isinstance(overhead_budget, bool)
        if not (is_number and 0 < overhead_budget <= 1):
            raise ValueError(f"overhead_budget: expected a share in (0, 1], got {overhead_budget!r}")
        self.x_axis: Literal["auto"] | XAxis = x_axis
        self.overhead_budget = overhead_budget
        self.budget = Budget(overhead_budget)
        self.counters = Counters()
        self.faults = Faults(strict=strict)
        self.stopwatch = Stopwatch()
        self._journal: RowLog | None = None
        self._ended: dict[str, Any] = {}
        self._process = 0
        self._guards: dict[str, Guard] = {}
        self._guard = self.guard("Recorder")
        self._steps = Steps((), self.counters, self.stopwatch, self._guard)
        self.batch: Any = None

    @classmethod
    def of(cls, trainer: Any) -> "Recorder":
        """The recorder of a trainer; where there is none yet, a new one joins its callbacks.

        Args:
            trainer: a Lightning ``Trainer``, or anything that has ``callbacks`` and ``loggers``.
        """
        for callback in reversed(trainer.callbacks):
            if isinstance(callback, cls):
                return callback
        recorder = cls()
        recorder.join(trainer)
        return recorder

    def guard(self, name: str) -> Guard:
        """A block whose time counts as overhead and whose faults are reported, not raised."""
        guard = self._guards.get(name)
        if guard is None:
            guard = Guard(name, self.stopwatch, self.faults, self.budget.stopwatch(name))
            self._guards[name] = guard
        return guard

    @property
    def is_open(self) -> bool:
        """Whether there is a run to record."""
        return self._journal is not None

    def record(self, values: Mapping[str, Value], *, count: int | None = None) -> None:
        """Add values to the row at this point of the run.

        Args:
            values: tag to value.
            count: over how many steps the values are means, if they are.
        """
        if self._journal is not None:
            self._steps.stop()
            values = {sanitize_tag(str(tag)): value for tag, value in values.items()}
            self._journal.put(values, self.counters.axes(), count=count)

    @property
    def latest(self) -> dict[str, float]:
        """The last number of each tag, in this fit."""
        return self._journal.latest if self._journal is not None else {}

    def record_now(self, values: Mapping[str, Value]) -> None:
        """Write values at once, outside the rows: words and configuration, which are no series."""
        if self._journal is not None:
            self._steps.stop()
            self._journal.write(values, self.counters.axes())

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Open the writers, before any callback has something to say."""
        self.join(trainer)
        if stage == "fit":
            self.open(trainer, pl_module)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count: the optimizers are there."""
        self.begin(trainer, pl_module)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to measure: what it costs to open a backend is no share of a step."""
        self.stopwatch.restart()
        self.budget.restart()
        if self._journal is not None:
            self._journal.start(self.counters.axes())

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Add up what a training step returned; where anything is due, write the row that lies behind and tell
        the callbacks.
        """
        steps = self._steps
        steps.stop()
        loss_scale = steps.add(trainer, pl_module, outputs)
        if not steps.is_quiet(self._journal, self.budget.due_at):
            self.batch = batch
            self._tell(trainer, pl_module, outputs, loss_scale)
            self.batch = None
        steps.let_pass(self._journal, self.budget.due_at)

    def _go_on(self, ends: bool) -> None:
        """Write the row that lies behind; log the intervals, where one ends."""
        if ends:
            self._steps.stop()  # whatever fails now, the next step is asked for
        else:
            self._steps.count()
        with self._guard:
            if self._journal is not None:
                self._journal.advance(self.counters)
                if ends:
                    self._steps.end_intervals(self)
                    self._steps.let_pass(self._journal, self.budget.due_at)

    @property
    def batch_size(self) -> int:
        """Examples in the batch that was just trained on; 1 where it does not tell."""
        sizes = [len(leaf) for leaf in tree_leaves(self.batch) if isinstance(leaf, Tensor) and leaf.ndim]
        return sizes[0] if sizes else 1

    def _tell(self, trainer: Any, pl_module: Any, outputs: Any, loss_scale: int) -> None:
        counters = self.counters
        with self._guard:
            if self._journal is not None:
                self._journal.advance(counters)
                if self.stopwatch.entered >= self.budget.due_at:
                    self.record(self.budget.check(self.stopwatch.inside + self._journal.backends.busy))
                    self._steps.listeners.settle(counters.optimizer_steps)  # an interval may be another now
                self._steps.end_intervals(self)
        due = self._steps.listeners.due(counters.optimizer_steps)
        if due:
            metrics: dict[str, Scalar] = {}
            if self._steps.listeners.read_metrics:
                with self._guard:
                    metrics = scalars_of(outputs, loss_scale=loss_scale)
            for listener in due:
                listener.on_step(trainer, pl_module, metrics)
            self._steps.listeners.settle(counters.optimizer_steps)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Write what is left."""
        self.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Write what is left, and why there is no more."""
        reason = str(Redactor()("run/ended_by", format_error(exception)))
        with self.faults.suppressed():
            with self._guard:
                self.record_now({"run/ended_by": Text(reason)})
            self.end()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Let go of the run."""
        self.end()

    def state_dict(self) -> dict[str, Any]:
        """The counters and the open row, for the checkpoint; all that it believes written is flushed."""
        state = self._ended
        with self.guard("Recorder, its part of a checkpoint"):
            if self._journal is not None:
                self._journal.flush()
                state = self._state(self._journal)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        if not state_dict or self._journal is None:
            return
        with self.guard("Recorder, its part of a checkpoint"):
            self.counters.load_state_dict(state_dict["counters"])
            self._journal.load_state_dict(state_dict["journal"], self.counters.axes())

    def join(self, trainer: Any) -> None:
        """Stand behind the trainer's other callbacks, so that what they say last is still heard."""
        others = [callback for callback in trainer.callbacks if callback is not self]
        if any(isinstance(callback, Recorder) for callback in others):
            raise ValueError("expected one Recorder in callbacks=[…], got two; configure one and leave the other out")
        hide_idle_hooks(self)
        kinds = [{base.__name__ for base in type(callback).__mro__} for callback in others]
        at = next((i for i, names in enumerate(kinds) if "Checkpoint" in names), len(others))
        # a new list, as Lightning may be walking through the old one; checkpoint callbacks stay last
        trainer.callbacks = [*others[:at], self, *others[at:]]

    def open(self, trainer: Any, pl_module: Any) -> None:
        """Open the writers, if they are not open."""
        if self._journal is None:
            if not getattr(trainer, "global_step", 0):
                self.counters = Counters()  # used before, with another trainer
            self.counters.watch(pl_module, ())
            backends = Backends(trainer.loggers if trainer.is_global_zero else (), self.faults)
            self._journal = RowLog(backends, x_axis=self.x_axis, stopwatch=self.stopwatch)
            self._process = os.getpid()
            atexit.register(self._at_exit)

    def begin(self, trainer: Any, pl_module: Any) -> None:
        """Count the optimizers' steps, and find the callbacks that listen to them."""
        with self._guard:
            self.counters.watch(pl_module, trainer.optimizers)
            self._unhook()
            self._steps = Steps(trainer.callbacks, self.counters, self.stopwatch, self._guard)
            if is_ours(self, "on_train_batch_end") and "on_train_batch_end" not in vars(self):
                stand_in = self._steps.stand_for(self.on_train_batch_end, self._go_on)
                if stand_in is not None:
                    vars(self)["on_train_batch_end"] = stand_in

    def end(self) -> None:
        """Write what is left and let go of the run."""
        with self._guard:
            self._unhook()
            journal, self._journal = self._journal, None
            if journal is not None:
                self._close(journal)
            self.counters.unwatch()

    def _unhook(self) -> None:
        """Have every step come by the method itself again."""
        self._steps.stop()
        if self._steps.is_stand_in(vars(self).get("on_train_batch_end")):
            del vars(self)["on_train_batch_end"]
        self._steps = Steps((), self.counters, self.stopwatch, self._guard)

    def _close(self, journal: RowLog) -> None:
        atexit.unregister(self._at_exit)
        try:
            journal.close()
        finally:
            self._ended = self._state(journal)  # for a checkpoint that is saved after the fit

    def _at_exit(self) -> None:
        """The script ended in the middle of a run; not that of a forked child."""
        if os.getpid() == self._process:
            with self.faults.suppressed():
                self.end()

    def _state(self, journal: RowLog) -> dict[str, Any]:
        return {"counters": self.counters.state_dict(), "journal": journal.state_dict()}
