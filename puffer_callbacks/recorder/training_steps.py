"""``TrainingSteps``: adds up each training step of a fit, and calls the callbacks that are due."""

from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from puffer_callbacks.overhead.budget import Budget
from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.recorder.callback_metrics import publish
from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.idle_hooks import hide_idle_hooks, show_idle_hooks
from puffer_callbacks.recorder.listeners import StepListeners
from puffer_callbacks.recorder.logged_values import LoggedRows
from puffer_callbacks.recorder.optimizer_steps import OptimizerSteps
from puffer_callbacks.recorder.row_log import RowLog
from puffer_callbacks.values import Value
from puffer_callbacks.values.scalars import examples_in, scalars_of


class Recording(Protocol):
    """What the steps use of the run."""

    budget: Budget
    counters: Counters
    examples: int | None
    logged_names: set[str]
    stopwatch: Stopwatch

    def guard(self, name: str) -> Guard:
        """A block whose time and faults are ``name``'s."""

    def record(self, values: Mapping[str, Value], *, monitored: bool = True) -> None:
        """Add values to the open row."""


class TrainingSteps:
    """Follows the training steps of one fit.

    A step at which nothing is due costs one list of numbers and two comparisons: with the step at which a callback is
    due, and with the x of the open row.

    Args:
        run: the run that is recorded.
        row_log: its rows.
        trainer: whose callbacks are called.
        pl_module: the module in training.
    """

    def __init__(self, run: Recording, row_log: RowLog, trainer: Any, pl_module: Any) -> None:
        self._run, self._row_log, self._trainer, self._module = run, row_log, trainer, pl_module
        self._counters, self._stopwatch, self._guard = run.counters, run.stopwatch, run.guard("Recorder")
        self._callbacks = list(trainer.callbacks)
        self._listeners = StepListeners(self._callbacks)
        self._due_at = 0
        self._is_first, self._is_between_epochs = True, False
        self.batch: Any = None
        """The batch that was just trained on."""
        self._unpublished: dict[str, float] = {}
        record = partial(run.record, monitored=False)
        self.logged_rows = LoggedRows(trainer, self._callbacks, record=record, names=run.logged_names)
        """The rows that Lightning logs by itself."""
        for callback in self._callbacks:
            if callable(getattr(callback, "resume_at", None)):
                with run.guard(type(callback).__name__):
                    callback.resume_at(self._counters.optimizer_steps)
        self._optimizer_steps = OptimizerSteps(
            self._callbacks, self._counters, guard=run.guard, on_measured=self.check_at_step_end
        )
        self._optimizer_steps.open(trainer, pl_module)
        for callback in self._callbacks:
            if callable(getattr(callback, "resume_at", None)):
                hide_idle_hooks(callback)

    @property
    def measures_gradients(self) -> bool:
        """Whether a callback measures gradients at optimizer steps."""
        return bool(self._optimizer_steps.callbacks)

    @property
    def batch_size(self) -> int:
        """Examples that the gradients of the step that was just taken are over: those of the accumulated batches of all
        ranks, taken as equal; of a batch without a tensor, batches. Of a step that a loop did not report, as many as of
        a batch that it gave before."""
        if self.batch is not None:
            self._run.examples = examples_in(self.batch)
        batches: int = self._trainer.accumulate_grad_batches * self._trainer.world_size
        return (self._run.examples or 1) * batches

    def before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """An optimizer is about to step: measure its gradients where a callback is due."""
        with self._guard:
            counter = self._counters.of(optimizer)
            if counter is not None and self._counters.steps_with(counter) >= counter.inspected_from:
                self._optimizer_steps.before_step(counter)

    def step_end(self, outputs: Any, batch: Any) -> None:
        """End a training step: add it up, and where anything is due, write the row and call the callbacks."""
        entered = perf_counter()
        self.batch, is_due, row_is_complete = batch, False, False
        if self._run.examples is None and batch is not None:
            self._run.examples = examples_in(batch)
        try:
            loss_scale = self._trainer.accumulate_grad_batches
            if loss_scale != 1 and not self._module.automatic_optimization:
                loss_scale = 1
            self._add_up(outputs, loss_scale)
            row_log, counters = self._row_log, self._counters
            is_due = counters.optimizer_steps >= self._due_at
            row_is_complete = row_log.position(counters) > row_log.open_at
        except Exception as error:
            if not self._guard.handle(error):
                raise
        self._stopwatch.inside += perf_counter() - entered
        if is_due or (row_is_complete and self._write_row()):
            self._call_listeners(outputs, loss_scale)
        elif self._listeners.at_every_step:
            self._call(self._listeners.at_every_step, outputs, loss_scale)
            self.publish()
        self.batch = None

    def _add_up(self, outputs: Any, loss_scale: int) -> None:
        """Give the step to all that read every step: what one cannot read the others still have."""
        for reader in self._listeners.readers:
            try:
                if reader.update(outputs, self._counters.learning_rates, loss_scale=loss_scale):
                    self.check_at_step_end()
            except Exception as error:  # a try costs nothing where nothing is raised
                if not self._guard.handle(error):
                    raise

    def epoch_start(self) -> None:
        """An epoch of training begins."""
        self._is_between_epochs = False

    def epoch_end(self) -> None:
        """An epoch of training is over: publish the means of open intervals, for ``EarlyStopping`` and its kind."""
        self._is_between_epochs = True
        self.publish(with_open_intervals=True)
        self.check_at_step_end()

    def publish_later(self, values: Mapping[str, Value]) -> None:
        """Publish numbers to Lightning's callbacks: at the end of this training batch, at once between batches."""
        self._unpublished |= {tag: value for tag, value in values.items() if isinstance(value, float)}
        if self._is_between_epochs or not self._trainer.training:  # in validation
            self.publish()
        self.check_at_step_end()

    def publish(self, *, with_open_intervals: bool = False) -> None:
        """Publish what was logged to Lightning's callbacks.

        Args:
            with_open_intervals: the means so far of intervals that have not ended, too.
        """
        if not (self._unpublished or with_open_intervals):
            return
        with self._guard:
            metrics: dict[str, float] = {}
            if with_open_intervals:
                for reader in self._listeners.readers:
                    metrics |= reader.open_means()
            latest = self._row_log.latest if self._unpublished else {}
            metrics |= {tag: latest.get(tag, value) for tag, value in self._unpublished.items()}
            self._unpublished = {}
            publish(self._trainer, metrics)

    def close(self) -> None:
        """End the fit: every hook is as it was."""
        self._optimizer_steps.close()
        for callback in self._callbacks:
            show_idle_hooks(callback)

    def check_at_step_end(self) -> None:
        """Check which callbacks are due at the end of this training batch, whatever step they declared."""
        self._due_at = 0

    def _write_row(self) -> bool:
        """Write the complete row and check the schedules; returns whether a callback is due after all."""
        with self._guard:
            self._row_log.advance(self._counters)
            self._refresh()
        return self._counters.optimizer_steps >= self._due_at

    def _refresh(self) -> None:
        """Let the budget change an interval, and find the next step at which a callback is due."""
        if perf_counter() >= self._run.budget.due_at:
            busy = self._row_log.backends.busy
            self._run.record(self._run.budget.check(self._stopwatch.inside, busy=busy))
        self._listeners.refresh()
        self._due_at = self._listeners.due_at

    def _call_listeners(self, outputs: Any, loss_scale: int) -> None:
        due: list[Any] = []
        with self._guard:
            self._row_log.advance(self._counters)
            due = self._listeners.due(self._counters.optimizer_steps)
        self._call(due, outputs, loss_scale)
        with self._guard:
            self._refresh()  # after the callbacks: an interval never changes in a step
            self.publish(with_open_intervals=self._is_first)
            self._is_first = False

    def _call(self, callbacks: Sequence[Any], outputs: Any, loss_scale: int) -> None:
        metrics: Mapping[str, Any] = {}
        if self._listeners.read_metrics(callbacks):
            with self._guard:
                metrics = scalars_of(outputs, loss_scale=loss_scale)
        for callback in callbacks:
            callback.on_step(self._trainer, self._module, metrics)
