"""``SB3Bridge``: the callbacks in Stable-Baselines3."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from typing import Any, Self

from torch.optim import Optimizer

from puffer_callbacks.adapters.loop import Loop
from puffer_callbacks.adapters.sb3.metrics import train_metrics, unlogged_scalars
from puffer_callbacks.adapters.sb3.rollouts import RolloutCollector, collector_for
from puffer_callbacks.adapters.sb3.settings import settings_of
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values.scalars import to_floats

try:
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import KVWriter
except ImportError as error:
    raise ImportError('SB3Bridge needs Stable-Baselines3: pip install "puffer_callbacks[sb3]"') from error


class SB3Bridge(BaseCallback):
    """Runs the callbacks in a Stable-Baselines3 algorithm: PPO, A2C, DQN, SAC, TD3 and their like.

    An update's values are logged at that update, the last one included: the algorithm's own logger shows
    them a rollout late, and the last never. What other callbacks record in that logger is logged when the
    logger dumps. Training is the same, bit for bit, with the bridge and without. A callback that sets
    ``trainer.should_stop``, as ``HealthCallback(stop_on=…)`` does, ends ``learn`` at the next step.

    Stable-Baselines3 does not inform callbacks of an exception that ends ``learn``; ``with SB3Bridge(…) as
    bridge:`` around it does.

    Args:
        loggers: Lightning loggers, one or several; ``None`` for none.
        callbacks: the callbacks, or the arguments of ``default_callbacks`` as a mapping; left out, the default ones.
        log_dir: a folder for TensorBoard's files, for a configuration in YAML that cannot name a logger.
        rollout_steps: environment steps in a rollout of an off-policy algorithm, which has none of its own.

    Raises:
        TypeError: if a callback is none.

    Example:
        >>> from stable_baselines3 import PPO
        >>> from puffer_callbacks import MemoryLogger, default_callbacks
        >>> bridge = SB3Bridge(logger := MemoryLogger(), default_callbacks())
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=512, device="cpu").learn(1024, callback=bridge)
        >>> [step for step, _ in logger.series("train/policy_loss")]
        [512, 1024]
    """

    def __init__(
        self,
        loggers: Any = (),
        callbacks: Any = None,
        *,
        log_dir: str | PathLike[str] | None = None,
        rollout_steps: int = 1000,
    ) -> None:
        super().__init__()
        self.loop = Loop(loggers, callbacks, log_dir=log_dir)
        self.rollout_steps = rollout_steps
        self._collector: RolloutCollector | None = None
        self._episodes: list[dict[str, float]] = []
        self._obs_around_step: tuple[Any, Any] = (None, None)
        """Observations before and after the last step: where it was interrupted the algorithm still has the former."""
        self._guard: AbstractContextManager[Any] = nullcontext()
        self._tap = _LoggerTap(self.loop, self._finish_update)
        self._updates: Any = None
        self._logger: Any = None

    @property
    def should_stop(self) -> bool:
        """Whether a callback asks to end the run, for an algorithm that cannot be stopped (ARS) and learns in parts."""
        return self.loop.should_stop

    def close(self) -> None:
        """End the fit, if one is open; ``learn`` does so itself unless an exception ends it."""
        self._finish()
        self.loop.close()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the model: counters, intervals, open means, the finished episodes of a rollout
        that it cuts short; all so far is flushed."""
        episodes = self._episodes if self._collector is None else self._collector.episodes.state()
        return {**self.loop.state_dict(), "episodes": episodes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; before ``learn``.

        Raises:
            RuntimeError: if a run is being recorded already.
        """
        self.loop.load_state_dict(state)
        self._collector, self._episodes = None, state.get("episodes", [])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._finish()
        self.loop.__exit__(kind, error, trace)

    def _on_training_start(self) -> None:
        self.close()
        model, previous = self.model, self._collector
        self._collector = collector = collector_for(model, rollout_steps=self.rollout_steps)
        last_obs = getattr(model, "_last_obs", None)
        if previous is not None and any(last_obs is each for each in self._obs_around_step):  # not reset since
            collector.episodes.continue_count(previous.episodes)
        collector.episodes.load(self._episodes)
        self._episodes = []
        self._logger = model.logger
        self._updates = self._logger.name_to_value.get("train/n_updates")
        self.loop.fit_start(
            model.policy,
            settings_of(model),
            optimizers=_optimizers(model) or None,
            env_steps=lambda: collector.env_steps,
        )
        self._guard = Recorder.of(self.loop).guard("SB3Bridge")
        self._logger.output_formats.append(self._tap)

    def _on_rollout_start(self) -> None:
        self._finish_update()

    def _on_step(self) -> bool:
        collector, step = self._collector, self.locals
        if collector is not None:
            collector.env_steps = self.num_timesteps
            if "infos" in step:
                with self._guard:
                    collector.step(step["infos"], step["rewards"], step["dones"])
                    self._obs_around_step = self.model._last_obs, step.get("new_obs")
        return not self.loop.should_stop

    def _on_rollout_end(self) -> None:
        if self.loop.should_stop:  # which the steps of this rollout have returned already
            kind = type(self.model).__name__
            expected = f"expected {kind}.learn to end where a callback returns False, as it has; {kind} goes on"
            instead = "learn in parts, with reset_num_timesteps=False, while not bridge.should_stop"
            Recorder.of(self.loop).faults.report("SB3Bridge", f"{expected}; {instead}")
        self._emit()

    def _on_training_end(self) -> None:
        self.close()

    def _emit(self, *, last: bool = False) -> None:
        rollout: Rollout | None = None
        with self._guard:
            rollout = self._collector.rollout(last=last) if self._collector is not None else None
        if rollout is not None:
            self.loop.rollout_end(rollout)

    def _finish_update(self) -> None:
        """Log the algorithm's update, if there was one since the last call: before its logger forgets it at a dump."""
        if not self.loop.is_open:
            return
        logged = self._logger.name_to_value
        updates = logged.get("train/n_updates")
        if updates is not None and updates != self._updates:
            self._updates = updates
            self.loop.update_end(train_metrics(logged))

    def _finish(self) -> None:
        """Log the last update and the rollout that was not complete, and leave the algorithm's logger as it was."""
        if self.loop.is_open:
            self._finish_update()
            self._emit(last=True)
            if self._tap in self._logger.output_formats:
                self._logger.output_formats.remove(self._tap)


class _LoggerTap(KVWriter):
    """Receives what the algorithm's logger dumps, and logs what is not logged already.

    Args:
        loop: where it is logged.
        finish_update: logs the algorithm's update, which may not be logged yet where another callback dumps.
    """

    def __init__(self, loop: Loop, finish_update: Callable[[], None]) -> None:
        self._loop, self._finish_update = loop, finish_update

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        """Log what the algorithm's logger dumps."""
        self._finish_update()
        recorder = Recorder.of(self._loop)
        with recorder.guard("SB3Bridge"):
            fresh = unlogged_scalars(key_values)
            if "train/n_updates" not in key_values:  # an algorithm without gradient steps, as ARS
                fresh |= {f"train/{name}": value for name, value in train_metrics(key_values).items()}
            recorder.record(to_floats(fresh))

    def close(self) -> None:
        """There is nothing to close."""


def _optimizers(model: Any) -> list[Optimizer]:
    """The optimizers of the policy, its parts, and the algorithm itself."""
    owners = [model.policy, *model.policy.children(), model]
    found = (value for owner in owners for value in vars(owner).values() if isinstance(value, Optimizer))
    return list(dict.fromkeys(found))
