"""The heads of a layer as a picture."""

import math

import numpy as np

from puffer_callbacks.measure.attention.maps import AttentionMap, head_entropy
from puffer_callbacks.pictures.colormap import Pixels, colorize
from puffer_callbacks.pictures.layout import below, beside, framed, grid, resized
from puffer_callbacks.pictures.legend import color_bar
from puffer_callbacks.pictures.text import SOFT, number, words
from puffer_callbacks.values import Image

_TILE = (120, 256)  # px, the least and the most of a head's longer side


def attention_image(attention: AttentionMap, *, sample: int = 0) -> Image:
    """The attention maps of one sample, a tile for each head: queries downward, keys to the right.

    All heads share one scale, from 0 to the largest weight among them. Colors go by the square root of the
    weight: what a head spreads over many keys stays visible beside what another gives to one. Over each
    tile stands the head's entropy in this sample.

    Args:
        attention: the maps of a layer, [B, heads, queries, keys].
        sample: which of the B is shown.

    Raises:
        ValueError: if there is no such sample, or nothing to attend to.

    Example:
        >>> import torch
        >>> attention_image(AttentionMap("encoder.0", torch.full((1, 2, 3, 3), 1 / 3))).caption
        'encoder.0: sample 0, heads 2, queries 3 (down), keys 3 (across), weights 0 to 0.333'
    """
    weights = attention.weights
    if not 0 <= sample < len(weights) or not weights[sample].numel():
        raise ValueError(f"expected attention maps of a sample {sample}, got the shape {list(weights.shape)}")
    heads = weights[sample].cpu().double().numpy()
    finite = np.isfinite(heads)
    high = float(heads.max(initial=0.0, where=finite))
    count, queries, keys = heads.shape
    facts = f"sample {sample}, heads {count}, queries {queries} (down), keys {keys} (across)"
    if not finite.all():
        facts += f", {np.count_nonzero(~finite)} not finite (magenta)"
    entropies = head_entropy(weights[sample : sample + 1]).tolist()
    pixels = colorize(np.sqrt(np.maximum(heads, 0)), low=0, high=math.sqrt(high))
    tiles = [_tile(i, pixels[i], entropies[i]) for i in range(count)]
    chart = grid(tiles, columns=math.ceil(math.sqrt(count)), gap=12)
    legend = color_bar((high, high / 4, 0.0))
    page = [words(attention.layer, size=15), words(facts, color=SOFT), beside([chart, legend], gap=14)]
    caption = f"{attention.layer}: {facts}, weights 0 to {number(high)}"
    return Image(framed(below(page, gap=6)), caption=caption)


def _tile(head: int, pixels: Pixels, entropy: float) -> Pixels:
    least, most = _TILE
    tile = resized(pixels, at_least=least, at_most=most)
    label = words(f"head {head}: {entropy:.2f} nats", width=max(tile.shape[1], 100))
    return below([label, tile], gap=2)
