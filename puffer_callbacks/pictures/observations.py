"""Pictures of a rollout's observations."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.pictures.colormap import Pixels
from puffer_callbacks.pictures.frames import is_picture, to_frames
from puffer_callbacks.pictures.heatmap import Strip, heatmap
from puffer_callbacks.pictures.layout import framed, hstack, padded, resized, vstack
from puffer_callbacks.pictures.space_leaves import Leaf
from puffer_callbacks.pictures.text import MUTED, TEXT, draw_text, missing, number
from puffer_callbacks.pictures.transitions import Transitions
from puffer_callbacks.values import Image

_TILE = (128, 256)  # px, the smallest and largest longer side of a frame


def observation_image(
    leaf: Leaf,
    transitions: Transitions,
    *,
    title: str = "observations",
    names: Sequence[str] = (),
    num_samples: int = 6,
) -> Image:
    """A picture of observations of a few environments, with their actions, values and rewards.

    Pixels are shown as evenly spaced frames, numbers as a heat map over all steps, texts as lines. Non-finite
    numbers are magenta and counted in the caption.

    Args:
        leaf: [T, N, *shape], see ``flatten_space``.
        transitions: the same steps of the same environments.
        title: the title of the picture.
        names: the names of the numbers in a heat map; by default their indices.
        num_samples: the number of frames, or lines, of each environment.

    Raises:
        ValueError: if the observations are empty.

    Example:
        >>> transitions = Transitions({"": np.ones((4, 1))}, np.zeros((4, 1)), np.zeros((4, 1), bool))
        >>> observation_image(np.zeros((4, 1, 3)), transitions).caption
        'observations: environment 0, steps 0 to 3; env 0: step 3, action 1, reward 0'
    """
    if leaf.size == 0:
        raise ValueError(
            f"{title}: expected an observation with at least one value for each step and environment, "
            f"got the shape {list(leaf.shape)} for [steps, environments, ...]; leave this picture out"
        )
    steps, envs, *shape = leaf.shape
    note = ""
    if leaf.dtype.kind in "US":
        parts = _lines(leaf, transitions, num_samples)
    elif is_picture(tuple(shape)):
        parts, note = _tiles(leaf, transitions, num_samples)
    else:
        parts, note = _strips(leaf, transitions, names)
    which = f"environments 0 to {envs - 1}" if envs > 1 else "environment 0"
    where = f"{which}, steps 0 to {steps - 1}{note}"
    ends = [f"env {env}: {', '.join(transitions.describe(steps - 1, env))}" for env in range(envs)]
    page = vstack([draw_text(title, size=15), draw_text(where, color=MUTED), *parts], gap=6)
    return Image(framed(page), caption="; ".join([f"{title}: {where}", *ends]))


def _tiles(leaf: Leaf, transitions: Transitions, num_samples: int) -> tuple[list[Pixels], str]:
    shown = _evenly(len(leaf), num_samples)
    frames = to_frames(leaf[shown], dims=leaf.ndim - 2)
    scale = (frames.low, frames.high)
    note = "" if scale in ((0, 1), (0, 255)) else f", black {number(scale[0])}, white {number(scale[1])}"
    parts: list[Pixels] = []
    for env in range(leaf.shape[1]):
        tiles = [_tile(frames.pixels[at, env], transitions.describe(step, env)) for at, step in enumerate(shown)]
        parts += [_heading(env), hstack(tiles, gap=10)]
    return parts, note + missing(frames.missing)


def _tile(pixels: NDArray[np.uint8], lines: list[str]) -> Pixels:
    least, most = _TILE
    frame = resized(pixels, at_least=least, at_most=most)
    width = max(frame.shape[1], least)
    labels = [draw_text(line, color=MUTED if at else TEXT, width=width - 1) for at, line in enumerate(lines)]
    tile = vstack([frame, *labels], gap=1)
    return padded(tile, right=width - tile.shape[1])


def _strips(leaf: Leaf, transitions: Transitions, names: Sequence[str]) -> tuple[list[Pixels], str]:
    steps, envs, *shape = leaf.shape
    features = leaf.reshape(steps, envs, -1)
    note = missing(int(np.count_nonzero(~np.isfinite(features))))
    names = names if len(names) == features.shape[-1] else _numbered(shape)
    observed = [(name, features[..., i]) for i, name in enumerate(names)]  # two may have one name
    sections = [observed, [*transitions.action_rows().items()], [*transitions.outcome_rows().items()]]
    scaled = [[(name, row, _scale(row)) for name, row in rows] for rows in sections if rows]
    parts: list[Pixels] = []
    for env in range(envs):
        strips = [[Strip(name, row[:, env].astype(np.float64), *scale) for name, row, scale in rows] for rows in scaled]
        parts += [_heading(env), heatmap(strips)]
    return parts, note


def _lines(leaf: Leaf, transitions: Transitions, num_samples: int) -> list[Pixels]:
    parts: list[Pixels] = []
    for env in range(leaf.shape[1]):
        parts.append(_heading(env))
        for step in _evenly(len(leaf), num_samples):
            facts = draw_text(", ".join(transitions.describe(step, env)), color=MUTED)
            parts.append(vstack([draw_text(str(leaf[step, env]) or "(empty)", width=640), facts], gap=1))
    return parts


def _heading(env: int) -> Pixels:
    return padded(draw_text(f"env {env}"), top=8)


def _evenly(steps: int, count: int) -> list[int]:
    return sorted({round(at) for at in np.linspace(0, steps - 1, min(count, steps)).tolist()})


def _scale(values: NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size or np.isin(finite, (0.0, 1.0)).all():
        return 0.0, 1.0
    return float(finite.min()), float(finite.max())


def _numbered(shape: Sequence[int]) -> list[str]:
    if not shape:
        return ["observation"]  # the critic's row is ``value``
    return [", ".join(map(str, index)) for index in itertools.product(*map(range, shape))]
