"""Recording of an episode as a video."""

import random
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch

from puffer_callbacks.measure.forward_pass.isolation import preserved_random_state
from puffer_callbacks.pictures.colormap import Pixels
from puffer_callbacks.pictures.frames import is_picture, to_frames
from puffer_callbacks.pictures.layout import padded, resized, vstack
from puffer_callbacks.pictures.text import MUTED, draw_text, number
from puffer_callbacks.values import Video

_MAX_FPS = 30  # a faster environment keeps its speed, with fewer frames
_SIDE = (128, 400)  # px, the smallest and largest longer side of a frame


def record_episode(
    env: gymnasium.Env[Any, Any], policy: Callable[[Any], Any], *, seed: int | None = 0, max_steps: int = 500
) -> Video:
    """A video of one episode, with step, reward and return below each frame; reproducible by its seed.

    The generators of Python, NumPy and torch are seeded, and restored afterwards.

    Args:
        env: a Gymnasium environment created with ``render_mode="rgb_array"``; it is not closed.
        policy: a function from an observation to an action, in the formats of the environment.
        seed: the seed of the environment and of all generators; ``None`` for one that differs each time.
        max_steps: the step at which the episode is truncated.

    Raises:
        ValueError: if the environment renders no frames, or ``max_steps`` is below 1.

    Example:
        >>> class Still(gymnasium.Env):
        ...     render_mode = "rgb_array"
        ...     def reset(self, **kwargs):
        ...         return 0, {}
        ...     def step(self, action):
        ...         return 0, 1.0, False, False, {}
        ...     def render(self):
        ...         return np.zeros((64, 64, 3), np.uint8)
        >>> record_episode(Still(), lambda observation: 0, max_steps=3).caption
        'return 3 in 3 steps, cut at max_steps=3, seed 0'
    """
    if max_steps < 1:
        raise ValueError(f"expected max_steps of at least 1, got {max_steps}")
    if seed is None:
        seed = random.SystemRandom().randrange(2**31)
    fps = float(env.metadata.get("render_fps") or _MAX_FPS)
    stride = max(1, int(np.ceil(fps / _MAX_FPS)))
    with preserved_random_state():
        _seed(seed)
        observation, _ = env.reset(seed=seed)
        frames = [_frame(env, "step 0")]
        total, step, ended = 0.0, 0, False
        while not ended and step < max_steps:
            observation, reward, terminated, truncated, _ = env.step(policy(observation))
            total, step, ended = total + float(reward), step + 1, bool(terminated or truncated)
            if step % stride == 0 or ended or step == max_steps:
                frames.append(_frame(env, f"step {step}, reward {number(reward)}, return {number(total)}"))
    how = "ended" if ended else f"cut at max_steps={max_steps}"
    caption = f"return {number(total)} in {step} steps, {how}, seed {seed}"
    return Video(_stacked(frames), fps=fps / stride, caption=caption)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _frame(env: gymnasium.Env[Any, Any], line: str) -> Pixels:
    rendered = env.render() if env.render_mode else None
    if isinstance(rendered, list) and rendered:  # render_mode="rgb_array_list" returns all frames since the last call
        rendered = rendered[-1]
    if not isinstance(rendered, np.ndarray) or not is_picture(rendered.shape):
        shape = f" of shape {list(rendered.shape)}" if isinstance(rendered, np.ndarray) else ""
        raise ValueError(
            f"expected a frame [H, W, 3] from render(), got {type(rendered).__name__}{shape} in render_mode "
            f"{env.render_mode!r}; make the environment with render_mode='rgb_array'"
        )
    smallest, largest = _SIDE
    colored = rendered.dtype == np.uint8 and rendered.shape[-1] == 3
    pixels = rendered if colored else to_frames(rendered, dims=rendered.ndim).pixels
    picture = resized(pixels, at_least=smallest, at_most=largest)
    return vstack([picture, draw_text(line, color=MUTED, width=picture.shape[1] - 1)], gap=2)


def _stacked(frames: list[Pixels]) -> Pixels:
    """Frames [T, H, W, 3], smaller ones padded."""
    height, width = (max(frame.shape[axis] for frame in frames) for axis in (0, 1))
    return np.stack([padded(f, bottom=height - f.shape[0], right=width - f.shape[1]) for f in frames])
