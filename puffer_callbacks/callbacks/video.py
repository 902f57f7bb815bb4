"""``VideoCallback``: episodes of the policy as videos."""

from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.envs.registration import find_highest_version, get_env_id, parse_env_id

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.guarded import can_run_alone, guarded
from puffer_callbacks.evaluation.policy import Policy
from puffer_callbacks.evaluation.record_episode import record_episode
from puffer_callbacks.measure.forward_pass.isolation import isolated
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every, check_counts
from puffer_callbacks.values import Video
from puffer_callbacks.values.shrink import shrink_to_bytes

_NAMES = ("env_id", "env", "env_name", "environment")


class VideoCallback(PufferCallback):
    """Logs ``episodes``: the present policy's likeliest actions, in an environment of their own.

    Actions come from the first of ``act``, ``get_action``, ``predict``, ``forward_eval``, ``predict_step``,
    ``policy``, ``actor`` and ``forward`` that the module has; logits, distributions and tuples are
    understood. The training environments, the generators of random numbers and the module stay as they are.

    Args:
        env_id: a Gymnasium environment, or a function that makes one with ``render_mode="rgb_array"``; by
            default the module's own ``env_id``, or that of its hyperparameters. Give a function where
            training wraps the environment, so that the policy sees what it is used to.
        every_n_rollouts: the interval, in rollouts.
        seed: of the episode, the same each time; ``None`` for another episode each time.
        max_steps: where an episode is cut.
        max_bytes: of the video as a GIF file; a larger one is scaled down.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if one is below 1, or ``seed`` below 0.

    Example:
        >>> VideoCallback("CartPole-v1", every_n_rollouts=20).every_n_rollouts
        20
    """

    expensive = True
    interval_unit = "rollouts"

    def __init__(
        self,
        env_id: str | Callable[[], gymnasium.Env[Any, Any]] | None = None,
        *,
        every_n_rollouts: int = 50,
        seed: int | None = 0,
        max_steps: int = 500,
        max_bytes: int = 2_000_000,
    ) -> None:
        check_counts(max_steps=max_steps, max_bytes=max_bytes)
        check_counts(at_least=0, seed=0 if seed is None else seed)
        self._every = Every(every_n_rollouts)
        self.every_n_rollouts = every_n_rollouts
        self.env_id = env_id
        self.seed = seed
        self.max_steps = max_steps
        self.max_bytes = max_bytes
        self._has_failed = False

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Warn where there is no environment to record, before training begins."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and self.env_id is None:
            self._has_failed = True
            with Recorder.of(trainer).guard(type(self).__name__):
                _env_id_of(pl_module)
                self._has_failed = False

    def reset(self, trainer: Any) -> None:
        """Forget earlier runs."""
        self._has_failed = False

    @guarded
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Log an episode where this rollout crosses the interval."""
        if not self._every.fires(self._every.last + 1) or self._has_failed or not trainer.is_global_zero:
            return
        self._has_failed = True  # what fails once is not tried again
        if not can_run_alone(trainer, pl_module, name="VideoCallback"):
            return
        with isolated(pl_module):
            video = self._record(pl_module)
        self._has_failed = False
        Recorder.of(trainer).record({"episodes": shrink_to_bytes(video, max_bytes=self.max_bytes)})

    def _record(self, module: Any) -> Video:
        env = make_env(self.env_id if self.env_id is not None else _env_id_of(module))
        try:
            policy = Policy(module, env.action_space)
            return record_episode(env, policy, seed=self.seed, max_steps=self.max_steps)
        finally:
            env.close()


def _env_id_of(module: Any) -> str:
    for owner in (module, getattr(module, "hparams", None) or {}):
        read = owner.get if hasattr(owner, "get") else lambda name, owner=owner: getattr(owner, name, None)
        for name in _NAMES:
            if isinstance(read(name), str):
                return str(read(name))
    raise ValueError(f"expected an environment to record, found no env_id in {type(module).__name__}; give env_id=")


def make_env(env_id: str | Callable[[], gymnasium.Env[Any, Any]]) -> gymnasium.Env[Any, Any]:
    """The environment, which renders frames; of a name without a version the newest."""
    if callable(env_id):
        return env_id()
    namespace, name, version = parse_env_id(env_id)
    if version is None:
        env_id = get_env_id(namespace, name, find_highest_version(namespace, name))
    return gymnasium.make(env_id, render_mode="rgb_array")
