"""An episode of a policy as a video."""

import random
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch

from puffer_callbacks.measure.forward_pass.isolation import random_state_kept
from puffer_callbacks.pictures.colormap import Pixels
from puffer_callbacks.pictures.frames import is_picture, to_frames
from puffer_callbacks.pictures.layout import below, padded, resized
from puffer_callbacks.pictures.text import SOFT, number, words
from puffer_callbacks.values import Video

_MOST_FPS = 30  # a faster environment is shown at its own speed, with fewer frames
_SIDE = (128, 400)  # px, the least and the most of a frame's longer side


def record_episode(
    env: gymnasium.Env[Any, Any], policy: Callable[[Any], Any], *, seed: int = 0, max_steps: int = 500
) -> Video:
    """One episode, with step, reward and return under each frame; the same one each time for the same policy.

    The generators of Python, NumPy and torch start from the seed, and afterwards are where they were.

    Args:
        env: a Gymnasium environment made with ``render_mode="rgb_array"``; it is not closed.
        policy: from an observation to an action, both as the environment has them.
        seed: of the environment and of all generators.
        max_steps: where the episode is cut.

    Raises:
        ValueError: if the environment gives no frames, or ``max_steps`` is below 1.

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
    fps = float(env.metadata.get("render_fps") or _MOST_FPS)
    stride = max(1, int(np.ceil(fps / _MOST_FPS)))
    with random_state_kept():
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
    return Video(_alike(frames), fps=fps / stride, caption=caption)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _frame(env: gymnasium.Env[Any, Any], line: str) -> Pixels:
    rendered = env.render() if env.render_mode else None
    if isinstance(rendered, list) and rendered:  # render_mode="rgb_array_list" gives all since the last call
        rendered = rendered[-1]
    if not isinstance(rendered, np.ndarray) or not is_picture(rendered.shape):
        shape = f" of shape {list(rendered.shape)}" if isinstance(rendered, np.ndarray) else ""
        raise ValueError(
            f"expected a frame [H, W, 3] from render(), got {type(rendered).__name__}{shape} in render_mode "
            f"{env.render_mode!r}; make the environment with render_mode='rgb_array'"
        )
    least, most = _SIDE
    colored = rendered.dtype == np.uint8 and rendered.shape[-1] == 3
    pixels = rendered if colored else to_frames(rendered, dims=rendered.ndim).pixels
    picture = resized(pixels, at_least=least, at_most=most)
    return below([picture, words(line, color=SOFT, width=picture.shape[1] - 1)], gap=2)


def _alike(frames: list[Pixels]) -> Pixels:
    """Frames [T, H, W, 3], the smaller ones filled up."""
    height, width = (max(frame.shape[axis] for frame in frames) for axis in (0, 1))
    return np.stack([padded(f, bottom=height - f.shape[0], right=width - f.shape[1]) for f in frames])
