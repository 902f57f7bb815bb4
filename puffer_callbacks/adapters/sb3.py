"""The callbacks in Stable-Baselines3."""

import inspect
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
from torch.optim import Optimizer
from typing_extensions import Self

from puffer_callbacks.adapters.experience import Array, Episodes, from_replay_buffer, from_rollout_buffer
from puffer_callbacks.adapters.loop import Loop
from puffer_callbacks.recorder import Recorder
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
    """Runs the callbacks in a Stable-Baselines3 algorithm: on-policy (PPO, A2C) and off-policy (DQN, SAC, TD3, …).

    What the algorithm logs of an update is logged at that update, the last one included: its own logger shows it a
    rollout late, and the last never. Values of other callbacks are passed on when it shows them. Training is the same,
    bit for bit, with the bridge and without.

    ``with SB3Bridge(…) as bridge:`` around ``learn`` also tells the callbacks of an exception.

    Args:
        loggers: Lightning loggers, one or several; ``None`` for none.
        callbacks: the callbacks.
        rollout_steps: environment steps in a rollout of an off-policy algorithm, which has none of its own.

    Raises:
        TypeError: if a callback is none; when training begins, if the algorithm has neither a rollout buffer nor a
            replay buffer.

    Example:
        >>> from stable_baselines3 import PPO
        >>> from puffer_callbacks import MemoryLogger, default_callbacks
        >>> bridge = SB3Bridge(logger := MemoryLogger(), default_callbacks())
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64).learn(128, callback=bridge)
        >>> [step for step, _ in logger.series("train/policy_loss")]
        [64, 128]
    """

    def __init__(self, loggers: Any = (), callbacks: Any = (), *, rollout_steps: int = 1000) -> None:
        super().__init__()
        self.loop = Loop(loggers, callbacks)
        self.rollout_steps = rollout_steps
        self._episodes = Episodes()
        self._rewards: list[Array] = []
        self._dones: list[Array] = []
        self._stored = 0
        self._updates: Any = None
        self._reader = _Reader(self.loop)

    def close(self) -> None:
        """End the fit, if one is open; ``learn`` does so itself unless an exception ended it."""
        self._finish_update()
        self._detach()
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._finish_update()
            self._detach()
        self.loop.__exit__(kind, error, trace)

    def _init_callback(self) -> None:
        if self._buffer("rollout_buffer") is None and self._buffer("replay_buffer") is None:
            expected = "expected an algorithm with a rollout_buffer (PPO, A2C, …) or a replay_buffer (DQN, SAC, …)"
            raise TypeError(f"SB3Bridge: {expected}, got {type(self.model).__name__}")

    def _on_training_start(self) -> None:
        self.close()
        self._updates = self.model.logger.name_to_value.get("train/n_updates")
        self.loop.fit_start(
            self.model.policy,
            _settings(self.model),
            optimizers=_optimizers(self.model) or None,
            env_steps=lambda: self.model.num_timesteps,
        )
        self.model.logger.output_formats.append(self._reader)

    def _on_rollout_start(self) -> None:
        self._finish_update()

    def _on_step(self) -> bool:
        with Recorder.of(self.loop).guard("SB3Bridge"):
            self._episodes.add(self.locals["infos"], self.locals["dones"])
            if self._buffer("rollout_buffer") is not None:
                # a copy: a step that a time limit ended gets the value of what would have come added to its reward
                self._rewards.append(np.array(self.locals["rewards"]))
                self._dones.append(np.array(self.locals["dones"]))
            else:
                self._stored += 1
        return True

    def _on_rollout_end(self) -> None:
        if self._buffer("rollout_buffer") is not None:
            self._emit()
        elif self._stored * self.model.n_envs >= self.rollout_steps:
            self._emit()

    def _on_training_end(self) -> None:
        if self._stored and self.loop.is_open:
            self._emit()
        self.close()

    def _emit(self) -> None:
        with Recorder.of(self.loop).guard("SB3Bridge"):
            model = self.model
            fields = {"env_steps": model.num_timesteps, "action_space": model.action_space, **self._episodes.take()}
            rewards, self._rewards = self._rewards, []
            dones, self._dones = self._dones, []
            stored, self._stored = self._stored, 0
            if rewards:
                rollout = from_rollout_buffer(self._buffer("rollout_buffer"), rewards, dones, **fields)
            else:
                buffer = self._buffer("replay_buffer")
                rollout = from_replay_buffer(buffer, min(stored, buffer.buffer_size), model.policy, **fields)
            self.loop.rollout_end(rollout)

    def _finish_update(self) -> None:
        """Take what the algorithm has said of its update, if there was one since the last call."""
        if not self.loop.is_open:
            return
        said = self.model.logger.name_to_value
        updates = said.get("train/n_updates")
        if updates is not None and updates != self._updates:
            self._updates = updates
            metrics = train_metrics(said)
            fit = metrics.pop("explained_variance", None)
            if fit is not None:  # RolloutCallback has it too, as diagnostics/explained_variance
                Recorder.of(self.loop).record(to_floats({"train/explained_variance": fit}))
            self.loop.step(metrics)

    def _detach(self) -> None:
        formats = self.model.logger.output_formats if hasattr(self, "model") else []
        if self._reader in formats:
            formats.remove(self._reader)

    def _buffer(self, name: str) -> Any:
        return getattr(self.model, name, None)


class _Reader(KVWriter):
    """Hears what Stable-Baselines3's logger shows, and passes on what is not logged already."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        recorder = Recorder.of(self._loop)
        with recorder.guard("SB3Bridge"):
            scalars = {tag: as_scalar(value) for tag, value in key_values.items() if not tag.startswith(("train/", "time/"))}
            scalars.pop("rollout/success_rate", None)
            recorder.record(to_floats({tag: value for tag, value in scalars.items() if value is not None}))

    def close(self) -> None:
        """Nothing to close."""


def train_metrics(said: Mapping[str, Any]) -> dict[str, Scalar]:
    """What an update's ``train/…`` values say, under their own names and those that all algorithms share.

    Example:
        >>> train_metrics({"train/entropy_loss": -0.5, "time/fps": 100})
        {'entropy_loss': -0.5, 'entropy': 0.5}
    """
    metrics: dict[str, Scalar] = {}
    for tag, value in said.items():
        scalar = as_scalar(value)
        if tag.startswith("train/") and scalar is not None:
            name = tag.removeprefix("train/")
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
    spec = getattr(model.get_env(), "envs", [None])[0]
    env_id = getattr(getattr(spec, "spec", None), "id", None)
    return {"algorithm": type(model).__name__, "env_id": env_id, "num_envs": model.n_envs, **made_with}
