"""A rollout's observations as a picture."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.pictures.colormap import Pixels
from puffer_callbacks.pictures.frames import is_picture, to_frames
from puffer_callbacks.pictures.heatmap import Strip, heatmap
from puffer_callbacks.pictures.layout import below, beside, framed, padded, resized
from puffer_callbacks.pictures.space_leaves import Leaf
from puffer_callbacks.pictures.text import INK, SOFT, number, words
from puffer_callbacks.pictures.transitions import Transitions
from puffer_callbacks.values import Image

_TILE = (128, 256)  # px, the least and the most of a frame's longer side


def observation_image(
    leaf: Leaf, story: Transitions, *, title: str = "observations", names: Sequence[str] = (), num_samples: int = 6
) -> Image:
    """Observations of a few environments, with the actions, values and rewards that belong to them.

    Pixels are shown as frames at even distances, numbers as a heat map over all steps, words as lines. What
    is not finite is magenta, and counted in the caption.

    Args:
        leaf: [T, N, *shape], see ``leaves``.
        story: the same steps of the same environments.
        title: of the picture.
        names: of the numbers, for a heat map; they are numbered by default.
        num_samples: frames, or lines, of each environment.

    Raises:
        ValueError: if the observations hold nothing.

    Example:
        >>> story = Transitions({"": np.ones((4, 1))}, np.zeros((4, 1)), np.zeros((4, 1), bool))
        >>> observation_image(np.zeros((4, 1, 3)), story).caption
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
        parts = _lines(leaf, story, num_samples)
    elif is_picture(tuple(shape)):
        parts, note = _tiles(leaf, story, num_samples)
    else:
        parts, note = _strips(leaf, story, names)
    which = f"environments 0 to {envs - 1}" if envs > 1 else "environment 0"
    where = f"{which}, steps 0 to {steps - 1}{note}"
    ends = [f"env {env}: {', '.join(story.tell(steps - 1, env))}" for env in range(envs)]
    page = below([words(title, size=15), words(where, color=SOFT), *parts], gap=6)
    return Image(framed(page), caption="; ".join([f"{title}: {where}", *ends]))


def _tiles(leaf: Leaf, story: Transitions, num_samples: int) -> tuple[list[Pixels], str]:
    shown = _evenly(len(leaf), num_samples)
    frames = to_frames(leaf[shown], dims=leaf.ndim - 2)
    scale = (frames.low, frames.high)
    note = "" if scale in ((0, 1), (0, 255)) else f", black {number(scale[0])}, white {number(scale[1])}"
    parts: list[Pixels] = []
    for env in range(leaf.shape[1]):
        tiles = [_tile(frames.pixels[at, env], story.tell(step, env)) for at, step in enumerate(shown)]
        parts += [_heading(env), beside(tiles, gap=10)]
    return parts, note + _missing(frames.missing)


def _tile(pixels: NDArray[np.uint8], lines: list[str]) -> Pixels:
    least, most = _TILE
    frame = resized(pixels, at_least=least, at_most=most)
    width = max(frame.shape[1], least)
    colors = (INK, SOFT, SOFT)
    labels = [words(line, color=color, width=width - 1) for line, color in zip(lines, colors, strict=True)]
    tile = below([frame, *labels], gap=1)
    return padded(tile, right=width - tile.shape[1])


def _strips(leaf: Leaf, story: Transitions, names: Sequence[str]) -> tuple[list[Pixels], str]:
    steps, envs, *shape = leaf.shape
    features = leaf.reshape(steps, envs, -1)
    missing = _missing(int(np.count_nonzero(~np.isfinite(features))))
    names = names if len(names) == features.shape[-1] else _numbered(shape)
    observed = {name: features[..., i] for i, name in enumerate(names)}
    sections = [rows for rows in (observed, story.action_rows(), story.outcome_rows()) if rows]
    scales = [{name: _scale(row) for name, row in rows.items()} for rows in sections]
    parts: list[Pixels] = []
    for env in range(envs):
        strips = [
            [Strip(name, row[:, env].astype(np.float64), *scale[name]) for name, row in rows.items()]
            for rows, scale in zip(sections, scales, strict=True)
        ]
        parts += [_heading(env), heatmap(strips)]
    return parts, missing


def _lines(leaf: Leaf, story: Transitions, num_samples: int) -> list[Pixels]:
    parts: list[Pixels] = []
    for env in range(leaf.shape[1]):
        parts.append(_heading(env))
        for step in _evenly(len(leaf), num_samples):
            facts = words(", ".join(story.tell(step, env)), color=SOFT)
            parts.append(below([words(str(leaf[step, env]) or "(empty)", width=640), facts], gap=1))
    return parts


def _heading(env: int) -> Pixels:
    return padded(words(f"env {env}"), top=8)


def _evenly(steps: int, count: int) -> list[int]:
    return sorted({round(at) for at in np.linspace(0, steps - 1, min(count, steps)).tolist()})


def _scale(values: NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size or np.isin(finite, (0.0, 1.0)).all():
        return 0.0, 1.0
    return float(finite.min()), float(finite.max())


def _numbered(shape: Sequence[int]) -> list[str]:
    if not shape:
        return ["value"]
    return [", ".join(map(str, index)) for index in itertools.product(*map(range, shape))]


def _missing(count: int) -> str:
    return f", {count} not finite (magenta)" if count else ""
