"""``RslRlBridge``: the callbacks in rsl_rl's ``OnPolicyRunner``."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from os import PathLike
from typing import Any
from weakref import ReferenceType, ref

from torch import nn
from torch.optim import Optimizer

from puffer_callbacks.adapters.loop import Loop
from puffer_callbacks.adapters.rsl_rl.rollouts import StorageRollouts
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.recorder.wrapped_methods import wrap_method
from puffer_callbacks.values.scalars import Scalar, scalars_of

_NEEDED = ("alg", "env", "cfg", "learn", "current_learning_iteration")
_MODULES = ("actor", "critic", "policy", "student", "rnd")
_SHARED = {"surrogate": "policy_loss", "value": "value_loss", "value_function": "value_loss", "entropy": "entropy"}


class RslRlBridge:
    """Runs the callbacks in an ``OnPolicyRunner`` of rsl_rl, version 3 or later.

    The runner is taken as it is, and rsl_rl is never imported. Losses are logged at the update that they belong
    to, over environment steps; episodes are counted one by one, where rsl_rl's own log averages the last hundred;
    histograms and gradients are seen as everywhere. Training is the same, bit for bit. Each call of ``learn`` is a
    fit, and ends it; an exception too.

    Args:
        loggers: Lightning loggers, one or several; ``None`` for none.
        callbacks: the callbacks, or the arguments of ``default_callbacks`` as a mapping; left out, the default ones.
        log_dir: a folder for TensorBoard's files, for a configuration in YAML that cannot name a logger.

    Raises:
        TypeError: if a callback is none.

    Example:
        >>> from puffer_callbacks import MemoryLogger, default_callbacks
        >>> bridge = RslRlBridge(MemoryLogger(), default_callbacks())
        >>> bridge.attach("a runner")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        TypeError: attach: expected an rsl_rl runner, got str, which has no alg, env, ...

        With rsl_rl::

            runner = RslRlBridge(logger, default_callbacks()).attach(OnPolicyRunner(env, cfg, log_dir))
            runner.learn(num_learning_iterations=1500)
    """

    def __init__(self, loggers: Any = (), callbacks: Any = None, *, log_dir: str | PathLike[str] | None = None) -> None:
        self.loop = Loop(loggers, callbacks, log_dir=log_dir)
        self._runner: Any = None
        self._counted: ReferenceType[Any] | None = None  # the runner whose steps and episodes are counted so far
        self._rollouts = StorageRollouts()
        self._lengths_at_end: list[int] | None = None
        self._env_steps = 0
        self._installed, self._in_learn = ExitStack(), ExitStack()

    @property
    def should_stop(self) -> bool:
        """Whether a callback asks to end the run: ``learn`` has no way to stop, so call it in parts and read this."""
        return self.loop.should_stop

    def attach(self, runner: Any) -> Any:
        """Record what a runner learns from now on; one that was recorded before is detached.

        Args:
            runner: an ``OnPolicyRunner``.

        Returns:
            The runner.

        Raises:
            TypeError: if it is none.
        """
        missing = [name for name in _NEEDED if not hasattr(runner, name)]
        if missing:
            given = f"got {type(runner).__name__}, which has no {', '.join(missing)}"
            raise TypeError(f"attach: expected an rsl_rl runner, {given}")
        if runner is not self._runner:
            self.detach()
            if self._counted is not None and self._counted() is not runner:
                self._env_steps, self._rollouts, self._lengths_at_end = 0, StorageRollouts(), None
            self._runner, self._counted = runner, ref(runner)
            self._installed.callback(wrap_method(runner, "learn", self._learn))
        return runner

    def detach(self) -> None:
        """End the fit, if one is open, and leave the runner as it was."""
        try:
            self.loop.close()
        finally:
            self._in_learn.close()
            self._installed.close()
            self._runner = None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the model: counters, intervals, open means, the finished episodes of a rollout
        that it cuts short, and the episodes under way; all so far is flushed."""
        return {
            "env_steps": self._env_steps,
            "callbacks": self.loop.state_dict(),
            "episodes": self._rollouts.state_dict(),
            "episode_lengths": self._lengths_at_end if self._runner is None else _episode_lengths(self._runner.env),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; before ``learn``.

        Episodes under way continue where the environments stand at the episode lengths of the checkpoint; those of
        environments that begin anew, as in another process, are dropped.

        Raises:
            RuntimeError: if a run is being recorded already.
        """
        self.loop.load_state_dict(state["callbacks"])
        self._counted = None if self._runner is None else self._counted
        self._env_steps, self._lengths_at_end = state["env_steps"], state.get("episode_lengths")
        self._rollouts = StorageRollouts()
        self._rollouts.load_state_dict(state.get("episodes", {}))

    def _learn(self, learn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._begin()
        runner = self._runner
        self._in_learn.callback(wrap_method(runner.alg, "process_env_step", self._process_env_step))
        self._in_learn.callback(wrap_method(runner.alg, "update", self._update))
        try:
            result = learn(*args, **kwargs)
        except BaseException as error:
            self._emit(None)
            self.loop.fail(error)
            raise
        finally:
            self._in_learn.close()
            self._lengths_at_end = _episode_lengths(runner.env)
        self.loop.close()
        return result

    def _begin(self) -> None:
        runner, alg = self._runner, self._runner.alg
        steps = runner.cfg.get("num_steps_per_env", 0) * runner.env.num_envs * self.loop.world_size
        self._env_steps = max(self._env_steps, runner.current_learning_iteration * steps)
        if self._lengths_at_end is None or self._lengths_at_end != _episode_lengths(runner.env):
            self._rollouts.begin_episodes()  # the environments were reset or stepped meanwhile
        owners = [alg, *(getattr(alg, name, None) for name in _MODULES)]
        optimizers = [each for owner in owners if isinstance(each := getattr(owner, "optimizer", None), Optimizer)]
        self.loop.fit_start(_modules(alg), runner.cfg, optimizers=optimizers, env_steps=lambda: self._env_steps)

    def _process_env_step(self, step: Callable[..., Any], obs: Any, rewards: Any, dones: Any, extras: Any) -> Any:
        with Recorder.of(self.loop).guard("RslRlBridge"):
            self._env_steps += len(rewards) * self.loop.world_size
            self._rollouts.step(rewards, dones, extras)
        return step(obs, rewards, dones, extras)

    def _update(self, update: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._emit(self._runner.alg.storage)
        losses = update(*args, **kwargs)
        self.loop.update_end(update_metrics(losses))
        return losses

    def _emit(self, storage: Any) -> None:
        rollout = None
        with Recorder.of(self.loop).guard("RslRlBridge"):
            rollout = self._rollouts.pop(storage, env_steps=self._env_steps)
        if rollout is not None:
            self.loop.rollout_end(rollout)


def update_metrics(losses: Mapping[str, Any]) -> dict[str, Scalar]:
    """An update's losses under the names that all algorithms share.

    Example:
        >>> update_metrics({"surrogate": -0.01, "value": 0.5, "rnd": 0.2})
        {'policy_loss': -0.01, 'value_loss': 0.5, 'rnd_loss': 0.2}
    """
    return {_SHARED.get(name, f"{name}_loss"): value for name, value in scalars_of(losses).items()}


def _episode_lengths(env: Any) -> list[int] | None:
    """Steps so far in the episodes under way, as the environments count them."""
    lengths = getattr(env, "episode_length_buf", None)
    return None if lengths is None else lengths.tolist()


def _modules(alg: Any) -> dict[str, nn.Module]:
    """The networks that the algorithm trains, the actor first."""
    found = {name: getattr(alg, name, None) for name in _MODULES}
    return {name: module for name, module in found.items() if isinstance(module, nn.Module)}
