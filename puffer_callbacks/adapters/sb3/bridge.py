"""The callbacks in Stable-Baselines3."""

import inspect
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from torch.optim import Optimizer
from typing_extensions import Self

from puffer_callbacks.adapters.loop import Loop
from puffer_callbacks.adapters.sb3.rollouts import RolloutCollector, collector_for
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values.scalars import Scalar, as_scalar, to_floats

try:
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import KVWriter
except ImportError as error:
    raise ImportError("SB3Bridge needs Stable-Baselines3: pip install stable-baselines3") from error

_SHARED = {
    "policy_gradient_loss": ("policy_loss", 1.0),
    "actor_loss": ("policy_loss", 1.0),
    "critic_loss": ("value_loss", 1.0),
    "entropy_loss": ("entropy", -1.0),
}
"""What Stable-Baselines3 calls a thing, what all others call it, and the sign it has there."""


class SB3Bridge(BaseCallback):
    """Runs the callbacks in a Stable-Baselines3 algorithm: PPO, A2C, DQN, SAC, TD3 and their like.

    What the algorithm says of an update is logged at that update, the last one included: its own logger
    shows it a rollout late, and the last never. What other callbacks tell its logger is passed on when the
    logger shows it. Training is the same, bit for bit, with the bridge and without.

    An exception ends ``learn`` without a word to its callbacks; ``with SB3Bridge(…) as bridge:`` around it
    tells them.

    Args:
        loggers: Lightning loggers, one or several; ``None`` for none.
        callbacks: the callbacks.
        rollout_steps: environment steps in a rollout of an off-policy algorithm, which has none of its own.

    Raises:
        TypeError: if a callback is none; by ``learn``, if the algorithm has no rollout and no replay buffer.

    Example:
        >>> from stable_baselines3 import PPO
        >>> from puffer_callbacks import MemoryLogger, default_callbacks
        >>> bridge = SB3Bridge(logger := MemoryLogger(), default_callbacks())
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=512, device="cpu").learn(1024, callback=bridge)
        >>> [step for step, _ in logger.series("train/policy_loss")]
        [512, 1024]
    """

    def __init__(self, loggers: Any = (), callbacks: Any = (), *, rollout_steps: int = 1000) -> None:
        super().__init__()
        self.loop = Loop(loggers, callbacks)
        self.rollout_steps = rollout_steps
        self._experience: RolloutCollector | None = None
        self._shown = _Shown(self.loop)
        self._updates: Any = None

    def close(self) -> None:
        """End the fit, if one is open; ``learn`` does so itself unless an exception ends it."""
        self._leave()
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self.loop.__exit__(kind, error, trace)

    def _on_training_start(self) -> None:
        self.close()
        model = self.model
        self._experience = collector_for(model, rollout_steps=self.rollout_steps)
        self._updates = model.logger.name_to_value.get("train/n_updates")
        self.loop.fit_start(
            model.policy,
            _settings(model),
            optimizers=_optimizers(model) or None,
            env_steps=lambda: model.num_timesteps,
        )
        model.logger.output_formats.append(self._shown)

    def _on_rollout_start(self) -> None:
        self._finish_update()

    def _on_step(self) -> bool:
        if self._experience is not None:
            with Recorder.of(self.loop).guard("SB3Bridge"):
                self._experience.step(self.locals["infos"], self.locals["rewards"], self.locals["dones"])
        return True

    def _on_rollout_end(self) -> None:
        self._emit()

    def _on_training_end(self) -> None:
        self._finish_update()
        self._emit(last=True)
        self.close()

    def _emit(self, *, last: bool = False) -> None:
        rollout: Rollout | None = None
        with Recorder.of(self.loop).guard("SB3Bridge"):
            rollout = self._experience.rollout(last=last) if self._experience is not None else None
        if rollout is not None:
            self.loop.rollout_end(rollout)

    def _finish_update(self) -> None:
        """Take what the algorithm has said of its update, if there was one since the last call."""
        said = self.model.logger.name_to_value
        updates = said.get("train/n_updates")
        if not self.loop.is_open or updates is None or updates == self._updates:
            return
        self._updates = updates
        self.loop.update(train_metrics(said))

    def _leave(self) -> None:
        """Say the last of the algorithm, and leave its logger."""
        if not self.loop.is_open:
            return
        self._finish_update()
        formats = self.model.logger.output_formats
        if self._shown in formats:
            formats.remove(self._shown)


class _Shown(KVWriter):
    """Hears what the algorithm's logger shows, and passes on what is not logged already."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        recorder = Recorder.of(self._loop)
        with recorder.guard("SB3Bridge"):
            recorder.record(to_floats(passed_on(key_values)))

    def close(self) -> None:
        """There is nothing to close."""


def passed_on(said: Mapping[str, Any]) -> dict[str, Scalar]:
    """The scalars that are neither an update's nor logged by the callbacks in any case.

    Example:
        >>> passed_on({"train/loss": 1.0, "time/fps": 100, "rollout/ep_rew_mean": 9.5, "mine": 2.0})
        {'rollout/ep_rew_mean': 9.5, 'mine': 2.0}
    """
    scalars = {tag: as_scalar(value) for tag, value in said.items()}
    known = ("train/", "time/", "rollout/success_rate")
    return {tag: value for tag, value in scalars.items() if value is not None and not tag.startswith(known)}


def train_metrics(said: Mapping[str, Any]) -> dict[str, Scalar]:
    """What an update's ``train/…`` values say, under their own names and those that all algorithms share.

    Example:
        >>> train_metrics({"train/entropy_loss": -0.5, "time/fps": 100})
        {'entropy_loss': -0.5, 'entropy': 0.5}
    """
    metrics: dict[str, Scalar] = {}
    for tag, value in said.items():
        name, scalar = tag.removeprefix("train/"), as_scalar(value)
        if tag.startswith("train/") and scalar is not None and name != "n_updates":
            metrics[name] = scalar
            if name in _SHARED:
                shared, sign = _SHARED[name]
                metrics[shared] = sign * scalar
    return metrics


def _optimizers(model: Any) -> list[Optimizer]:
    """Those of the policy, its parts, and the algorithm itself."""
    owners = [model.policy, *model.policy.children(), model]
    found = (value for owner in owners for value in vars(owner).values() if isinstance(value, Optimizer))
    return list(dict.fromkeys(found))


def _settings(model: Any) -> dict[str, Any]:
    """What the algorithm was made with, as far as it remembers."""
    names = inspect.signature(type(model).__init__).parameters
    hidden = {"self", "env", "policy", "tensorboard_log", "verbose", "_init_setup_model"}
    made_with = {name: getattr(model, name) for name in names if name not in hidden and hasattr(model, name)}
    env = getattr(model.get_env(), "envs", [None])[0]  # of environments in this process
    env_id = getattr(getattr(env, "spec", None), "id", None)
    return {"algorithm": type(model).__name__, "env_id": env_id, "num_envs": model.n_envs, **made_with}
