import math

import numpy as np
import pytest
import torch

from puffer_callbacks.measure.attention.maps import AttentionMap
from puffer_callbacks.pictures.attention import attention_image
from puffer_callbacks.pictures.colormap import MISSING, VIRIDIS, colorize
from puffer_callbacks.pictures.text import MUTED, draw_text, number


def test_a_tile_for_each_head_in_the_colors_of_its_weights():
    weights = torch.rand(2, 3, 6, 6).softmax(-1)
    image = attention_image(AttentionMap("encoder.0", weights))
    high = weights[0].max().item()
    for head in weights[0].double().numpy():
        tile = colorize(np.sqrt(head), low=0, high=math.sqrt(high)).repeat(20, 0).repeat(20, 1)
        windows = np.lib.stride_tricks.sliding_window_view(image.pixels, tile.shape)[:, :, 0]
        assert (windows[:, :, ::20, ::20] == tile[::20, ::20]).all((2, 3, 4)).any()


def test_the_picture_is_of_the_first_sample_alone():
    weights = torch.stack([torch.eye(4), torch.full((4, 4), 0.25)])[:, None]
    both, first = (attention_image(AttentionMap("encoder.0", each)) for each in (weights, weights[:1]))
    assert np.array_equal(both.pixels, first.pixels), "its entropy, 0.00 nats, too"


def test_the_scale_is_brightest_at_the_top_and_its_numbers_are_evenly_spaced_in_color():
    pixels = attention_image(AttentionMap("encoder.0", torch.full((1, 1, 2, 2), 0.5))).pixels  # a head of one color
    (column,) = {*np.flatnonzero((pixels == VIRIDIS[0]).all(-1).any(0))[:1]}
    bar = np.flatnonzero((pixels[:, column] != 255).any(-1))[-120:]  # below the caption
    expected = VIRIDIS[np.linspace(255, 0, 120).round().astype(int)]
    assert np.abs(pixels[bar, column].astype(int) - expected).max() <= 2
    for weight, at in ((0.5, 0), (0.125, 60), (0.0, 119)):  # colors show the square root: half of it is a quarter
        text = draw_text(number(weight), color=MUTED)
        windows = np.lib.stride_tricks.sliding_window_view(pixels[:, column + 10 :], text.shape)[:, :, 0]
        tops = np.flatnonzero((windows == text).all((2, 3, 4)).any(1))
        assert np.abs(tops + text.shape[0] / 2 - (bar[0] + at)).min() <= 2, weight


def test_a_weight_that_is_infinite_does_not_set_the_scale():
    weights = torch.tensor([[[[0.25, torch.inf], [0.5, 0.25]]]])
    assert attention_image(AttentionMap("layer", weights)).caption.endswith("1 not finite (magenta), weights 0 to 0.5")


def test_the_caption_describes_the_picture():
    image = attention_image(AttentionMap("encoder.0", torch.full((1, 2, 3, 4), 0.25)))
    assert image.caption == "encoder.0: sample 0, heads 2, queries 3 (down), keys 4 (across), weights 0 to 0.25"


def test_a_diverged_head_is_magenta_and_counted():
    weights = torch.full((1, 2, 3, 3), 1 / 3)
    weights[0, 0] = torch.nan
    image = attention_image(AttentionMap("encoder.0", weights))
    assert "9 not finite (magenta)" in image.caption
    assert (image.pixels == MISSING).all(-1).any()
    assert attention_image(AttentionMap("encoder.0", torch.full((1, 1, 2, 2), torch.nan))).pixels.size


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 64, 2, 2), (1, 2, 600, 900), (1, 5, 1, 300)])
def test_any_size_is_legible(shape):
    image = attention_image(AttentionMap("layer", torch.rand(shape).softmax(-1)))
    assert 100 < image.pixels.shape[1] < 1500 and 100 < image.pixels.shape[0] < 1800


@pytest.mark.parametrize("shape", [(0, 2, 3, 3), (1, 2, 3, 0)])
def test_an_empty_map_raises(shape):
    with pytest.raises(ValueError, match="attention maps of at least one sample, got the shape"):
        attention_image(AttentionMap("layer", torch.zeros(shape)))
