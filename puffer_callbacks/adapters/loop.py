"""``Loop``: the callbacks in a hand-written loop."""

from collections.abc import Callable, Mapping
from typing import Any, Self

from puffer_callbacks.adapters.hook_calls import is_callback
from puffer_callbacks.adapters.module_group import as_module
from puffer_callbacks.adapters.optimizers import optimizers_of, unwrap_optimizers
from puffer_callbacks.adapters.rollouts import episodes_rollout, replay_rollout
from puffer_callbacks.adapters.trainer import TrainerAdapter
from puffer_callbacks.callbacks.histogram import HistogramCallback
from puffer_callbacks.config.flatten import flat_settings
from puffer_callbacks.faults import format_error
from puffer_callbacks.rollout import Rollout


class Loop(TrainerAdapter):
    """Runs the callbacks in a loop of your own: in CleanRL's style, with Fabric, or any other.

    Callbacks take it for the trainer, so ``log(loop, {…})`` works as ``log(trainer, {…})`` does. It finds the
    module's optimizers, and calls the callbacks before each of their steps: after accumulation, and before
    ``torch.nn.utils`` clips the gradients. Intervals are in optimizer steps, however seldom ``step`` is
    called. When it is closed it leaves nothing behind.

    Args:
        loggers: Lightning's or Fabric's loggers, one or several; ``None`` for none.
        callbacks: the callbacks, one or several, or the arguments of ``default_callbacks`` as a mapping; left out,
            the default ones.
        log_dir: a folder for TensorBoard's files, each run in a version of its own.

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
        """The loop of a ``Fabric``: with its loggers and callbacks, and in the callbacks' place. Where it has no
        callbacks, the loop has the default ones.

        ``fabric.call("on_rollout_end", rollout)`` then reaches all of them, as
        ``loop.rollout_end(rollout)`` does; so do ``fabric.call("fit_start", module, hparams)``,
        ``fabric.call("step", metrics)`` and ``fabric.call("close")``. ``Fabric(callbacks=[Loop(loggers,
        callbacks)])`` is equivalent.

        Args:
            fabric: ``Fabric(callbacks=[…], loggers=[…])``, of either Lightning namespace.

        Example:
            >>> from lightning.fabric import Fabric
            >>> from puffer_callbacks import MemoryLogger, MetricsCallback
            >>> fabric = Fabric(accelerator="cpu", callbacks=[MetricsCallback()], loggers=[MemoryLogger()])
            >>> loop = Loop.from_fabric(fabric)
            >>> loop.loggers == fabric.loggers
            True

        Raises:
            TypeError: if it is no ``Fabric``.
        """
        if not hasattr(fabric, "_callbacks") or not hasattr(fabric, "loggers"):
            raise TypeError(f"from_fabric: expected a lightning Fabric, got {type(fabric).__name__}")
        listed = [callback for callback in fabric._callbacks if is_callback(callback)]
        loop = cls(fabric.loggers, listed or None)
        fabric._callbacks = [loop, *(other for other in fabric._callbacks if not is_callback(other))]
        return loop

    def fit_start(
        self,
        module: Any,
        hparams: Any = None,
        *,
        optimizers: Any = None,
        env_steps: Callable[[], int] | None = None,
        global_step: int = 0,
    ) -> None:
        """Begin: open the loggers and set up the callbacks. A fit that is still open is closed first.

        Args:
            module: the module in training, plain or wrapped (``torch.compile``, DDP, Fabric); or a mapping of
                several, and of tensors that an optimizer steps: ``{"actor": actor, "log_alpha": log_alpha}``.
            hparams: the configuration: a mapping, ``Namespace`` or dataclass, nested at will.
            optimizers: those to follow, one or several; left out, those of the module are found, in the order of
                its parameters. List them where several hold the same parameters: only your order is known then.
            env_steps: a function that returns the environment steps so far; left out, they are the module's
                ``env_steps`` or else the last rollout's. Where a second fit begins with fewer steps it is a new run;
                of rollouts that is not known at its start, and it continues the first.
            global_step: optimizer steps so far, of a model that was trained before without this loop.

        Raises:
            TypeError: if ``module`` is none, an optimizer is none, or ``env_steps`` returns no number yet.
        """
        listed = [] if optimizers is None else unwrap_optimizers(optimizers)
        plain = as_module(module)
        if env_steps is not None:
            _check_env_steps(env_steps)
        settings = _flat(getattr(plain, "hparams", {}) if hparams is None else hparams)
        found = optimizers_of(plain) if optimizers is None else listed
        self.begin(plain, settings, found, find=optimizers is None, env_steps=env_steps, global_step=global_step)

    def step(self, metrics: Mapping[str, Any] | None = None, *, batch: Any = None) -> None:
        """End a training step, after ``optimizer.step()``.

        Args:
            metrics: its scalars: numbers or 0-d tensors, nested at will, in a mapping such as a dict or a
                TensorDict; ``loss`` becomes ``train/loss``.
            batch: what the module was trained on, for callbacks that look at it: its size gives the gradient
                noise scale in examples, and the first one is the probe of attention maps and activations.

        Raises:
            RuntimeError: if no fit is open.
        """
        if self._watch is None:
            self._require_open("step")
        self.step_end(metrics, batch)

    def rollout_end(self, rollout: Rollout) -> None:
        """Pass a rollout to the callbacks. Its memory may be used again after that: what they show later is copied.

        Raises:
            RuntimeError: if no fit is open.
            TypeError: if it is no ``Rollout``.
        """
        self._require_open("rollout_end")
        self.current_epoch += 1
        if isinstance(rollout, Rollout):
            self.see_rollout(rollout)
        self.call_hook("on_rollout_end", rollout)

    def episodes(self, returns: Any, lengths: Any = None) -> None:
        """Log finished episodes, for a loop that has no rollouts; several in one call or one by one.

        Args:
            returns: their undiscounted returns, a number or an array of any shape.
            lengths: their lengths in steps.

        Raises:
            RuntimeError: if no fit is open.
            ValueError: if there are more returns than lengths, or fewer.
        """
        self._require_open("episodes")
        self.call_hook("on_rollout_end", episodes_rollout(returns, lengths))

    def replay_batch(self, *, actions: Any = None, rewards: Any = None, values: Any = None) -> None:
        """Show a replay batch to the histograms, for an algorithm without rollouts.

        Args:
            actions: [B, *act] → ``rollout/actions``.
            rewards: [B] or [B, 1] → ``rollout/rewards``.
            values: [B] or [B, 1], such as the critic's estimates → ``rollout/values``.

        Raises:
            RuntimeError: if no fit is open.
        """
        self._require_open("replay_batch")
        batch = replay_rollout({"actions": actions, "rewards": rewards, "values": values})
        for callback in self.callbacks:
            if isinstance(callback, HistogramCallback):
                callback.on_rollout_end(self, self.lightning_module, batch)

    def close(self) -> None:
        """End the fit, if one is open: write the open row, and remove every hook."""
        self.end()

    def on_rollout_end(self, *args: Any, rollout: Rollout | None = None) -> None:
        """``rollout_end`` for ``fabric.call("on_rollout_end", …, rollout)``, with anything before it."""
        self.rollout_end(args[-1] if args else rollout)  # type: ignore[arg-type]  # checked there

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.end()
        else:
            self.fail(error)

    def _require_open(self, method: str) -> None:
        if not self.is_open:
            expected = "expected a fit that is open, got none; call fit_start(module, hparams) first"
            raise RuntimeError(f"{method}: {expected}")


def _check_env_steps(env_steps: Callable[[], int]) -> None:
    try:
        int(env_steps())
    except Exception as error:
        expected = "expected a function that returns the environment steps so far, from fit_start on"
        raise TypeError(f"env_steps: {expected}, got {format_error(error)}") from error


def _flat(hparams: Any) -> Mapping[str, Any]:
    """A configuration in any of the forms that scripts have it in, flat."""
    try:
        return flat_settings(hparams)
    except (TypeError, ValueError):
        expected = "expected a mapping, Namespace or dataclass"
        raise TypeError(f"hparams: {expected}, got {type(hparams).__name__}") from None
