"""Pictures of attention maps."""

import math
from collections.abc import Sequence

import numpy as np

from puffer_callbacks.measure.attention.maps import AttentionMap
from puffer_callbacks.measure.attention.weights import head_entropy
from puffer_callbacks.pictures.colormap import Pixels, colorize
from puffer_callbacks.pictures.layout import framed, grid, hstack, padded, resized, vstack
from puffer_callbacks.pictures.text import MUTED, draw_text, missing, number
from puffer_callbacks.values import Image

_TILE = (120, 256)  # px, the smallest and largest longer side of a head
_BAR_HEIGHT, _BAR_WIDTH = 120, 10  # px


def attention_image(attention: AttentionMap) -> Image:
    """The attention maps of the first sample, a tile for each head: queries downward, keys to the right.

    All heads share one scale, from 0 to the largest weight. Colors show the square root of the weight, so that
    attention spread over many keys stays visible next to attention to a single key. The label of each tile is
    the head's entropy in this sample.

    Args:
        attention: the maps of a layer, [B, heads, queries, keys].

    Raises:
        ValueError: if the maps are empty.

    Example:
        >>> import torch
        >>> attention_image(AttentionMap("encoder.0", torch.full((1, 2, 3, 3), 1 / 3))).caption
        'encoder.0: sample 0, heads 2, queries 3 (down), keys 3 (across), weights 0 to 0.333'
    """
    weights = attention.weights
    if not weights.numel():
        raise ValueError(f"expected attention maps of at least one sample, got the shape {list(weights.shape)}")
    heads = weights[0].cpu().double().numpy()
    finite = np.isfinite(heads)
    high = float(heads.max(initial=0.0, where=finite))
    count, queries, keys = heads.shape
    facts = f"sample 0, heads {count}, queries {queries} (down), keys {keys} (across)"
    facts += missing(int(np.count_nonzero(~finite)))
    entropies = head_entropy(weights[:1]).tolist()
    pixels = colorize(np.sqrt(np.maximum(heads, 0)), low=0, high=math.sqrt(high))
    tiles = [_tile(i, pixels[i], entropies[i]) for i in range(count)]
    chart = grid(tiles, columns=math.ceil(math.sqrt(count)), gap=12)
    legend = _color_bar((high, high / 4, 0.0))
    page = [draw_text(attention.layer, size=15), draw_text(facts, color=MUTED), hstack([chart, legend], gap=14)]
    caption = f"{attention.layer}: {facts}, weights 0 to {number(high)}"
    return Image(framed(vstack(page, gap=6)), caption=caption)


def _tile(head: int, pixels: Pixels, entropy: float) -> Pixels:
    least, most = _TILE
    tile = resized(pixels, at_least=least, at_most=most)
    label = draw_text(f"head {head}: {entropy:.2f} nats", width=max(tile.shape[1], 100))
    return vstack([label, tile], gap=2)


def _color_bar(ticks: Sequence[float]) -> Pixels:
    """The color scale, brightest at the top, with evenly spaced numbers (two or more, from top to bottom)."""
    labels = [draw_text(number(tick), color=MUTED) for tick in ticks]
    ramp = colorize(np.linspace(1, 0, _BAR_HEIGHT), low=0, high=1)[:, None].repeat(_BAR_WIDTH, 1)
    gap = (_BAR_HEIGHT - len(ticks)) / (len(ticks) - 1)
    half = labels[0].shape[0] // 2
    spaced = vstack(labels, gap=round(gap) + 1 - labels[0].shape[0])
    return hstack([padded(ramp, top=half, bottom=half), spaced], gap=4)
