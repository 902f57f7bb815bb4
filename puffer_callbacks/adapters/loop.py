"""The callbacks in a hand-written loop."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from typing_extensions import Self

from puffer_callbacks.adapters.host import Host
from puffer_callbacks.adapters.optimizers import optimizers_of, unwrap_optimizers
from puffer_callbacks.adapters.module import unwrapped
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.settings import flat_settings


class Loop(Host):
    """Runs the callbacks in a loop of your own: in CleanRL's style, with Fabric, or any other.

    It stands where callbacks expect a trainer, so ``log(loop, {…})`` works as ``log(trainer, {…})`` does. It finds the
    module's optimizers by itself, tells the callbacks before each of their steps, whatever the gradients were
    accumulated over and before ``torch.nn.utils`` clips them, and leaves nothing behind when it is closed. A training
    step that was not reported by ``step`` still counts: intervals are in optimizer steps, however seldom you report.

    Args:
        loggers: Lightning's or Fabric's loggers, one or several; ``None`` for none.
        callbacks: the callbacks, one or several; ``default_callbacks()`` are what most people want.

    Raises:
        TypeError: if a callback is none.

    Example:
        >>> import torch
        >>> from puffer_callbacks import MemoryLogger, default_callbacks
        >>> agent, logger = torch.nn.Linear(4, 2), MemoryLogger()
        >>> optimizer = torch.optim.Adam(agent.parameters(), lr=0.1)
        >>> with Loop(logger, default_callbacks()) as loop:
        ...     loop.fit_start(agent, {"gamma": 0.99})
        ...     for _ in range(3):
        ...         agent(torch.ones(4)).sum().backward()
        ...         optimizer.step()
        ...         loop.step({"policy_loss": 0.5})
        >>> logger.series("train/policy_loss")
        [(3, 0.5)]
    """

    @classmethod
    def from_fabric(cls, fabric: Any) -> Self:
        """The loop of a ``Fabric``: with its loggers and callbacks, and in the callbacks' place.

        ``fabric.call("on_rollout_end", rollout)`` then reaches all of them, as ``loop.rollout_end(rollout)`` does. It
        is the same as ``Fabric(callbacks=[loop], loggers=loggers)`` with ``loop = Loop(loggers, callbacks)``.

        Args:
            fabric: ``Fabric(callbacks=[…], loggers=[…])``, of either Lightning namespace.

        Raises:
            TypeError: if it is no ``Fabric``.
        """
        if not hasattr(fabric, "_callbacks") or not hasattr(fabric, "loggers"):
            raise TypeError(f"from_fabric: expected a lightning Fabric, got {type(fabric).__name__}")
        listed = [callback for callback in fabric._callbacks if callable(getattr(callback, "setup", None))]
        loop = cls(fabric.loggers, listed)
        fabric._callbacks = [loop, *(other for other in fabric._callbacks if other not in listed)]
        return loop

    def fit_start(
        self,
        module: Any,
        hparams: Any = None,
        *,
        optimizers: Any = None,
        env_steps: Callable[[], int] | None = None,
    ) -> None:
        """Begin: open the loggers and set up the callbacks. A fit that is still open is closed first.

        Args:
            module: the module in training, plain or wrapped (``torch.compile``, DDP, Fabric).
            hparams: the configuration: a mapping, ``Namespace`` or dataclass, nested at will.
            optimizers: those to follow, one or several; left out, those of the module are found.
            env_steps: a function that tells the environment steps so far; left out, the module's ``env_steps`` or
                else the last rollout's are taken.

        Raises:
            TypeError: if ``module`` is no ``torch.nn.Module``, or an optimizer is none.
        """
        named = [] if optimizers is None else unwrap_optimizers(optimizers)
        plain = unwrapped(module)
        settings = _settings(getattr(plain, "hparams", {}) if hparams is None else hparams)
        found = optimizers_of(plain) if optimizers is None else named
        self.begin(plain, settings, found, find=optimizers is None, env_steps=env_steps)

    def step(self, metrics: Mapping[str, Any] | None = None) -> None:
        """Say that a training step is over, after ``optimizer.step()``.

        Args:
            metrics: its scalars: numbers or 0-d tensors, nested at will; ``loss`` becomes ``train/loss``.

        Raises:
            RuntimeError: if no fit is open.
        """
        self._must_be_open("step")
        self.report(metrics)

    def rollout_end(self, rollout: Rollout) -> None:
        """Hand a rollout to the callbacks.

        Raises:
            RuntimeError: if no fit is open.
            TypeError: if it is no ``Rollout``.
        """
        self._must_be_open("rollout_end")
        self.current_epoch += 1
        self.tell("on_rollout_end", rollout)

    def close(self) -> None:
        """End the fit, if one is open: write what is left, and let go of the module and its optimizers."""
        self.end()

    def on_rollout_end(self, *args: Any, rollout: Rollout | None = None) -> None:
        """``rollout_end`` for ``fabric.call("on_rollout_end", …, rollout)``; what comes before it is passed over."""
        self.rollout_end(args[-1] if args else rollout)  # type: ignore[arg-type]  # checked there

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: counters, intervals and open means. All that was said until here is flushed."""
        self.tell("on_save_checkpoint", {})
        states = {callback.state_key: callback.state_dict() for callback in self.callbacks if callback.state_key}
        return {key: state for key, state in states.items() if state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; before ``fit_start``.

        Raises:
            RuntimeError: if a fit is open already.
        """
        if self.is_open:
            raise RuntimeError("load_state_dict: expected to come before fit_start, got a fit that is open")
        self._states = dict(state)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
        else:
            self.fail(error)

    def _must_be_open(self, method: str) -> None:
        if not self.is_open:
            raise RuntimeError(f"{method}: expected a fit that is open, got none; call fit_start(module, hparams) first")


def _settings(hparams: Any) -> Mapping[str, Any]:
    try:
        return flat_settings(hparams)
    except (TypeError, ValueError):
        expected = "expected a mapping, Namespace or dataclass"
        raise TypeError(f"hparams: {expected}, got {type(hparams).__name__}") from None
