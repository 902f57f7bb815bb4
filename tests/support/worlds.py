"""An environment that renders without any further package."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Dot(gymnasium.Env[Any, Any]):
    """A dot that a choice of two moves left or right over 16 x 8 pixels; each step is worth 1.

    ``frame`` is rendered in the place of the picture; ``growing`` makes each one larger.
    """

    def __init__(
        self,
        length: int = 5,
        *,
        fps: int = 20,
        render_mode: str | None = "rgb_array",
        frame: Any = None,
        growing: bool = False,
    ) -> None:
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": fps}
        self.observation_space = spaces.Box(0, 15, (4,))
        self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self.length, self.frame, self.growing = length, frame, growing
        self.at, self.steps, self.closed = 0, 0, False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.steps = int(self.np_random.integers(16)), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.at = (self.at + (1 if action else -1)) % 16
        self.steps += 1
        return self._observation(), 1.0, self.steps >= self.length, False, {}

    def render(self) -> Any:
        if self.frame is not None or self.render_mode is None:
            return self.frame
        size = 16 * (1 + self.steps * self.growing)
        picture = np.full((size // 2, size, 3), 240, np.uint8)
        picture[4:6, self.at] = (200, 30, 30)
        return [picture] if self.render_mode == "rgb_array_list" else picture

    def close(self) -> None:
        self.closed = True

    def _observation(self) -> Any:
        return np.full(4, self.at, np.float32)
