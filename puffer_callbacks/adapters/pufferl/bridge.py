"""The callbacks in PufferLib's PuffeRL."""

import sys
import time
from collections.abc import Callable, Mapping
from functools import wraps
from types import FrameType
from typing import Any

from puffer_callbacks.adapters.loop import Loop
from puffer_callbacks.adapters.pufferl.interrupt import before_exit
from puffer_callbacks.adapters.pufferl.rollouts import fresh_stats, from_buffers, lengths
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values.scalars import Scalar, as_scalar, to_floats

_NEEDED = (
    *("evaluate", "train", "close", "config", "vecenv", "optimizer", "uncompiled_policy"),
    *("global_step", "stats", "observations", "actions", "rewards", "terminals", "values", "logprobs"),
)
_SHARED = {"clipfrac": "clip_fraction"}
_PASSED_ON = ("environment/", "performance/")


class PuffeRLBridge:
    """Runs the callbacks in PufferLib's ``PuffeRL``, as its logger.

    The trainer is taken as it is, and PufferLib is never imported. Each update's losses are logged at that
    update, over the agent steps so far; its own log shows them an update late, and four times a second only. A
    logger that the trainer had before is still told everything. The dashboard stays.

    Of an episode that ended by truncation PuffeRL's buffers know nothing, so ``dones`` has terminations only.

    Args:
        loggers: Lightning loggers, one or several; ``None`` for none.
        callbacks: the callbacks.

    Raises:
        TypeError: if a callback is none.

    Example:
        >>> from puffer_callbacks import MemoryLogger, default_callbacks
        >>> bridge = PuffeRLBridge(MemoryLogger(), default_callbacks())
        >>> bridge.attach("a trainer")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        TypeError: attach: expected a PuffeRL trainer, got str, which has no evaluate, train, close, ...

        With PufferLib::

            bridge = PuffeRLBridge(TensorBoardLogger("runs"), default_callbacks())
            trainer = bridge.attach(PuffeRL(config, vecenv, policy))
            while trainer.global_step < config["total_timesteps"]:
                trainer.evaluate()
                trainer.train()
            trainer.close()
    """

    def __init__(self, loggers: Any = (), callbacks: Any = ()) -> None:
        self.loop = Loop(loggers, callbacks)
        self._run_id = str(int(100 * time.time()))
        self._trainer: Any = None
        self._before: Any = None
        self._losses: Mapping[str, Any] = {}
        self._undo: list[Callable[[], object]] = []

    @property
    def run_id(self) -> str:
        """The run's name, under which the trainer saves its checkpoints."""
        return self._run_id if self._before is None else str(self._before.run_id)

    def attach(self, trainer: Any) -> Any:
        """Begin to record a trainer; one that was recorded before is let go.

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
        self._trainer = trainer
        if trainer.logger is not self:
            self._before, trainer.logger = trainer.logger, self
        self.loop.fit_start(
            trainer.uncompiled_policy,
            trainer.config,
            optimizers=[trainer.optimizer],
            env_steps=lambda: trainer.global_step * self.loop.world_size,
        )
        self._wrap("evaluate", self._evaluate)
        self._wrap("train", self._train)
        self._wrap("close", self._close)
        self._undo.append(trainer.optimizer.register_step_pre_hook(self._find_losses).remove)
        self._undo.append(before_exit("pufferlib", lambda: self.loop.fail(KeyboardInterrupt("Ctrl+C"))))
        return trainer

    def detach(self) -> None:
        """End the fit, if one is open, and leave the trainer as it was."""
        self.loop.close()
        self._let_go()

    def log(self, logs: Mapping[str, Any], step: int) -> None:
        """What the trainer calls four times a second, with means since the last call.

        Losses, learning rate and speed are logged at each update already; what is left is passed on. A
        trainer that nobody attached, as one that ``pufferl.train(…, logger=bridge)`` made, is attached
        here.
        """
        if self._trainer is None:
            self._attach_caller()
        if self._before is not None:
            self._before.log(logs, step)
        recorder = Recorder.of(self.loop)
        with recorder.guard("PuffeRLBridge"):
            scalars = {tag: as_scalar(value) for tag, value in logs.items() if tag.startswith(_PASSED_ON)}
            recorder.record(to_floats({tag: value for tag, value in scalars.items() if value is not None}))

    def close(self, model_path: str | None = None) -> None:
        """End the fit; what ``pufferl.train`` calls at its end.

        Args:
            model_path: where the trainer has saved its model, for a logger that was there before.
        """
        before = self._before
        self.detach()
        if before is not None:
            before.close(model_path)

    def _wrap(self, name: str, around: Callable[[Callable[[], Any]], Any]) -> None:
        method = getattr(self._trainer, name)

        @wraps(method)
        def wrapped() -> Any:
            try:
                return around(method)
            except BaseException as error:
                self.loop.fail(error)
                raise

        trainer = self._trainer
        setattr(trainer, name, wrapped)
        self._undo.append(lambda: delattr(trainer, name))

    def _evaluate(self, evaluate: Callable[[], Any]) -> Any:
        trainer = self._trainer
        seen = lengths(trainer.stats)
        stats = evaluate()
        rollout: Rollout | None = None
        with Recorder.of(self.loop).guard("PuffeRLBridge"):
            env_steps = trainer.global_step * self.loop.world_size
            rollout = from_buffers(trainer, fresh_stats(trainer.stats, seen), env_steps=env_steps)
        if rollout is not None and self.loop.is_open:
            self.loop.rollout_end(rollout)
        return stats

    def _train(self, train: Callable[[], Any]) -> Any:
        self._losses = {}
        logs = train()
        if self.loop.is_open:
            losses = self._losses or (self._trainer.losses if logs is not None else {})
            self.loop.update(update_metrics(losses))
        return logs

    def _close(self, close: Callable[[], Any]) -> Any:
        path = close()
        self.loop.close()
        return path

    def _find_losses(self, *_: Any) -> None:
        # train() keeps them in a variable of its own; what it shows of them are those of an update before
        if not self._losses:
            self._losses = _running(lambda owner: owner is self._trainer).get("losses", {})

    def _attach_caller(self) -> None:
        caller = _running(lambda owner: getattr(owner, "logger", None) is self).get("self")
        if caller is not None:
            self.attach(caller)

    def _let_go(self) -> None:
        while self._undo:
            self._undo.pop()()
        if self._before is not None and self._trainer.logger is self:
            self._trainer.logger = self._before
        self._trainer = self._before = None


def update_metrics(losses: Mapping[str, Any]) -> dict[str, Scalar]:
    """PuffeRL's losses under the names that all algorithms share.

    Example:
        >>> update_metrics({"policy_loss": 0.5, "clipfrac": 0.1})
        {'policy_loss': 0.5, 'clip_fraction': 0.1}
    """
    scalars = {_SHARED.get(name, name): as_scalar(value) for name, value in losses.items()}
    return {name: value for name, value in scalars.items() if value is not None}


def _running(is_owner: Callable[[Any], bool]) -> Mapping[str, Any]:
    """The local variables of the method on the stack whose ``self`` is the one; empty where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if "self" in frame.f_code.co_varnames and is_owner(frame.f_locals.get("self")):
            return frame.f_locals
        frame = frame.f_back
    return {}
