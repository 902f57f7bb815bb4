"""``PuffeRLBridge``: the callbacks in PufferLib's PuffeRL."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from os import PathLike
from typing import Any

from puffer_callbacks.adapters.loop import Loop
from puffer_callbacks.adapters.method_locals import locals_of
from puffer_callbacks.adapters.pufferl import rollouts
from puffer_callbacks.adapters.pufferl.interrupt import before_exit
from puffer_callbacks.adapters.pufferl.metrics import unlogged_scalars, update_metrics
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.recorder.wrapped_methods import wrap_method
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values.scalars import to_floats

_NEEDED = (
    *("evaluate", "train", "close", "config", "vecenv", "optimizer", "uncompiled_policy"),
    *("global_step", "stats", "observations", "actions", "rewards", "terminals", "values", "logprobs"),
)


class PuffeRLBridge:
    """Runs the callbacks in PufferLib's ``PuffeRL``, as its logger.

    The trainer is taken as it is, and PufferLib is never imported. Each update's losses are logged at that
    update, over the agent steps so far; its own log shows them an update late, and four times a second only.
    A logger that the trainer had before still receives everything. The dashboard stays. When the run ends,
    by ``close`` or by an exception, all that the bridge installed is removed.

    PuffeRL's buffers hold no truncations, so ``dones`` are terminations only.

    Args:
        loggers: Lightning loggers, one or several; ``None`` for none.
        callbacks: the callbacks, or the arguments of ``default_callbacks`` as a mapping; left out, the default ones.
        log_dir: a folder for TensorBoard's files, for a configuration in YAML that cannot name a logger.

    Raises:
        TypeError: if a callback is none.

    Example:
        >>> from puffer_callbacks import MemoryLogger, default_callbacks
        >>> bridge = PuffeRLBridge(MemoryLogger(), default_callbacks())
        >>> bridge.attach("a trainer")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        TypeError: attach: expected a PuffeRL trainer, got str, which has no evaluate, train, close, ...

        With PufferLib::

            trainer = PuffeRLBridge(logger, default_callbacks()).attach(PuffeRL(config, vecenv, policy))
    """

    def __init__(self, loggers: Any = (), callbacks: Any = None, *, log_dir: str | PathLike[str] | None = None) -> None:
        self.loop = Loop(loggers, callbacks, log_dir=log_dir)
        self._run_id = str(int(100 * time.time()))
        self._trainer: Any = None
        self._previous_logger: Any = None
        self._losses: Mapping[str, Any] = {}
        self._installed = ExitStack()
        self._unreported = rollouts.UnreportedEpisodes()

    @property
    def run_id(self) -> str:
        """The run's name, under which the trainer saves its checkpoints."""
        return self._run_id if self._previous_logger is None else str(self._previous_logger.run_id)

    @property
    def should_stop(self) -> bool:
        """Whether a callback asks to end the run: PuffeRL has no way to stop, so the loop around it reads this."""
        return self.loop.should_stop

    def attach(self, trainer: Any) -> Any:
        """Begin to record a trainer; one that was recorded before is detached.

        Args:
            trainer: a ``PuffeRL``, made with ``logger=bridge`` or not.

        Returns:
            The trainer.

        Raises:
            TypeError: if it is none.
        """
        missing = [name for name in _NEEDED if not hasattr(trainer, name)]
        if missing:
            given = f"got {type(trainer).__name__}, which has no {', '.join(missing)}"
            raise TypeError(f"attach: expected a PuffeRL trainer, {given}")
        if trainer is self._trainer:
            return trainer
        self.detach()
        self._trainer, self._unreported = trainer, rollouts.UnreportedEpisodes()
        if trainer.logger is not self:
            self._previous_logger, trainer.logger = trainer.logger, self
        self.loop.fit_start(
            trainer.uncompiled_policy,
            trainer.config,
            optimizers=[trainer.optimizer],
            env_steps=lambda: trainer.global_step * self.loop.world_size,
        )
        for name, around in (("evaluate", self._evaluate), ("train", self._train), ("close", self._close)):
            self._installed.callback(wrap_method(trainer, name, partial(self._failing, around)))
        self._installed.callback(trainer.optimizer.register_step_pre_hook(self._find_losses).remove)
        self._installed.callback(before_exit("pufferlib", lambda: self._fail(KeyboardInterrupt("Ctrl+C"))))
        return trainer

    def detach(self) -> None:
        """End the fit, if one is open, and leave the trainer as it was."""
        try:
            self.loop.close()
        finally:
            self._remove()

    def log(self, logs: Mapping[str, Any], step: int) -> None:
        """What the trainer calls four times a second, with means since the last call.

        Losses, learning rate and speed are logged at each update already; the rest is logged here. A trainer
        that is not attached, as one that ``pufferl.train(…, logger=bridge)`` made, is attached here.
        """
        if self._trainer is None:
            self._attach_caller()
        if self._previous_logger is not None:
            self._previous_logger.log(logs, step)
        recorder = Recorder.of(self.loop)
        with recorder.guard("PuffeRLBridge"):
            recorder.record(to_floats(unlogged_scalars(logs)))

    def close(self, model_path: str | None = None) -> None:
        """End the fit; what ``pufferl.train`` calls at its end.

        Args:
            model_path: where the trainer has saved its model, for a logger that was there before.
        """
        previous = self._previous_logger
        self.detach()
        if previous is not None:
            previous.close(model_path)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the model: counters, intervals, open means; all so far is flushed."""
        return self.loop.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; before ``attach``.

        Raises:
            RuntimeError: if a run is being recorded already.
        """
        self.loop.load_state_dict(state)

    def _failing(self, method: Callable[..., Any], *args: Any) -> Any:
        """Call a method; an exception ends the fit."""
        try:
            return method(*args)
        except BaseException as error:
            self._fail(error)
            raise

    def _evaluate(self, evaluate: Callable[[], Any]) -> Any:
        trainer = self._trainer
        seen = rollouts.lengths(trainer.stats)
        try:
            stats = evaluate()
        except BaseException:
            self._emit(rollouts.finished_episodes, seen)
            raise
        self._emit(rollouts.from_buffers, seen)
        return stats

    def _emit(self, make: Callable[..., Rollout | None], seen: Mapping[str, int]) -> None:
        trainer, rollout = self._trainer, None
        with Recorder.of(self.loop).guard("PuffeRLBridge"):
            env_steps = trainer.global_step * self.loop.world_size
            rollout = make(trainer, rollouts.fresh_stats(trainer.stats, seen), env_steps=env_steps)
        if rollout is None or not self.loop.is_open:
            return
        if self._unreported.update(rollout):
            Recorder.of(self.loop).faults.report("PuffeRLBridge", rollouts.UNREPORTED)
        self.loop.rollout_end(rollout)

    def _train(self, train: Callable[[], Any]) -> Any:
        self._losses = {}
        logs = train()
        if self.loop.is_open:
            losses = self._losses or (self._trainer.losses if logs is not None else {})
            self.loop.update_end(update_metrics(losses))
        return logs

    def _close(self, close: Callable[[], Any]) -> Any:
        path = close()
        self.detach()
        return path

    def _fail(self, error: BaseException) -> None:
        try:
            self.loop.fail(error)
        finally:
            self._remove()

    def _find_losses(self, *_: Any) -> None:
        # train() keeps them in a variable of its own; its attribute holds those of an update before
        if not self._losses:
            self._losses = locals_of(lambda owner: owner is self._trainer).get("losses", {})

    def _attach_caller(self) -> None:
        caller = locals_of(lambda owner: getattr(owner, "logger", None) is self).get("self")
        if caller is not None:
            self.attach(caller)

    def _remove(self) -> None:
        """Remove hooks, wrappers, handler and logger from the trainer and the process."""
        self._installed.close()
        if self._previous_logger is not None and self._trainer.logger is self:
            self._trainer.logger = self._previous_logger
        self._trainer = self._previous_logger = None
        self._losses = {}
