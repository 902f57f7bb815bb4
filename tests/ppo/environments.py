"""Environments whose every transition is known beforehand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Counter(gymnasium.Env[Any, Any]):
    """Observes the number of steps so far, pays as much, and ends after ``length`` steps, if at all.

    ``info`` carries a part of the reward, and ``level``, which is the number of steps.
    """

    def __init__(self, length: int = 1_000_000, action_space: spaces.Space[Any] | None = None) -> None:
        self.observation_space = spaces.Box(0, np.inf, (1,), np.float64)
        self.action_space = action_space or spaces.Discrete(2)
        self.length, self.t = length, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.array([0.0]), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"illegal action {action!r}"
        self.t += 1
        info = {"reward_half": self.t / 2, "level": self.t, "name": "counter"}
        return np.array([float(self.t)]), float(self.t), self.t >= self.length, False, info


class Rooms(Counter):
    """The same, with one of five rooms, numbered from 3, as its observation."""

    def __init__(self) -> None:
        super().__init__(length=4)
        self.observation_space = spaces.Discrete(5, start=3)

    def reset(self, **arguments: Any) -> Any:
        super().reset(**arguments)
        return 3, {}

    def step(self, action: Any) -> Any:
        _, *rest = super().step(action)
        return 3 + self.t, *rest


class Unseeable(Counter):
    """The same, with an observation space that PPO does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Text(3)


@contextmanager
def registered(name: str, entry_point: Any, **arguments: Any) -> Iterator[str]:
    """The environment under this name while the block runs."""
    gymnasium.register(name, entry_point, **arguments)
    try:
        yield name
    finally:
        del gymnasium.registry[name]
