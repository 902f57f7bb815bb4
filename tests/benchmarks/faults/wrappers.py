"""Broken environments."""

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper


class BrokenVectorEnv(VectorWrapper):
    """Vector environments whose answers are changed from a number of steps on.

    Args:
        envs: what to wrap.
        change: called with (observations, rewards, terminated, truncated, infos) of a step; returns the same.
        starts_at: environment steps, over all environments, before the change.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], change: Any, *, starts_at: int = 0) -> None:
        super().__init__(envs)
        self._change, self._steps_left = change, starts_at

    def step(self, actions: Any) -> Any:
        result = self.env.step(actions)
        self._steps_left -= self.num_envs
        return self._change(*result) if self._steps_left < 0 else result


class BrokenEnv(gymnasium.Wrapper):
    """The same for one environment, with observations of one environment."""

    def __init__(self, env: Any, change: Any, *, starts_at: int = 0) -> None:
        super().__init__(env)
        self._change, self._steps_left = change, starts_at

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self._steps_left -= 1
        return self._change(*result) if self._steps_left < 0 else result


class Stale:
    """Observations of the step before."""

    def __init__(self) -> None:
        self._last: Any = None

    def __call__(self, observations: Any, *rest: Any) -> Any:
        current = np.array(observations)
        shown, self._last = self._last if self._last is not None else current, current
        return (shown, *rest)


class NanOnce:
    """NaN in one number of one observation."""

    def __init__(self) -> None:
        self._done = False

    def __call__(self, observations: Any, *rest: Any) -> Any:
        if not self._done:
            observations, self._done = np.array(observations), True
            observations[(0,) * observations.ndim] = np.nan
        return (observations, *rest)


class Slowing:
    """Every step takes a little longer than the one before."""

    def __init__(self, *, seconds: float = 6e-7) -> None:
        self._seconds, self._steps = seconds, 0

    def __call__(self, *result: Any) -> Any:
        self._steps += 1
        time.sleep(self._seconds * self._steps)
        return result


def constant_observation(observations: Any, *rest: Any) -> Any:
    return (np.full_like(observations, 0.5), *rest)


def large_observation(observations: Any, *rest: Any) -> Any:
    return (np.asarray(observations) * 1e4, *rest)


def scaled_reward(factor: float) -> Any:
    return lambda observations, rewards, *rest: (observations, rewards * factor, *rest)


def no_dones(observations: Any, rewards: Any, terminated: Any, truncated: Any, infos: Any) -> Any:
    infos = {name: value for name, value in infos.items() if "final" not in name}
    return observations, rewards, np.zeros_like(terminated), np.zeros_like(truncated), infos
