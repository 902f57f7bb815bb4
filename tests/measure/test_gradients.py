"""The gradient noise scale and its neighbors, compared with NumPy and by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from puffer_callbacks.measure.gradients import NoiseScale, inner_products, module_norms, sample, update_ratio


def test_the_noise_scale_recovers_that_of_simulated_gradients():
    """g = G + noise of covariance S / b: the scale is tr(S) / |G|²."""
    generator, batch_size, scale = np.random.default_rng(0), 32, NoiseScale(decay=0.999)
    mean, deviations = generator.normal(size=200), generator.uniform(1, 3, size=200)
    for _ in range(20_000):
        first, second = mean + deviations * generator.normal(size=(2, 200)) / math.sqrt(batch_size)
        found = scale.update(first @ first, second @ second, first @ second, batch_size=batch_size)
    assert found == pytest.approx((deviations**2).sum() / (mean @ mean), rel=0.02)


@pytest.mark.parametrize("inner", [0.0, -1.0])
def test_without_a_positive_estimate_of_the_signal_there_is_no_noise_scale(inner):
    assert NoiseScale().update(3.0, 3.0, inner, batch_size=8) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_gradients_that_are_not_finite_leave_the_averages_unchanged(bad):
    scale = NoiseScale()
    assert scale.update(3.0, 3.0, 1.0, batch_size=8) == pytest.approx(16.0)
    before = scale.state_dict()
    assert scale.update(bad, 3.0, 1.0, batch_size=8) is None
    assert scale.state_dict() == before


def test_the_noise_scale_continues_from_a_checkpoint():
    scale, resumed = NoiseScale(), NoiseScale()
    scale.update(3.0, 3.0, 1.0, batch_size=8)
    resumed.load_state_dict(scale.state_dict())
    assert resumed.update(5.0, 4.0, 2.0, batch_size=8) == scale.update(5.0, 4.0, 2.0, batch_size=8)


def test_inner_products_agree_with_numpy():
    first, second = torch.randn(2, 1000)
    expected = [float(a.double() @ b.double()) for a, b in ((first, first), (second, second), (first, second))]
    assert [each.item() for each in inner_products(first, second)] == pytest.approx(expected)


def test_complex_numbers_are_sampled_by_both_parts():
    gradients = [torch.tensor([3 + 4j, 0j]), torch.ones(2)]
    kept, sizes = sample(gradients)
    assert (kept.tolist(), sizes) == ([3.0, 4.0, 0.0, 0.0, 1.0, 1.0], [4, 2])
    assert [each.item() for each in inner_products(kept, kept)] == [27.0] * 3


def test_of_sparse_gradients_the_stored_numbers_are_sampled():
    numbers = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    embedding = torch.sparse_coo_tensor(torch.tensor([[1, 4, 1]]), numbers, (9, 2), check_invariants=True)
    kept, sizes = sample([torch.zeros(1), embedding])
    assert (kept.tolist(), sizes) == ([0.0, 6.0, 8.0, 3.0, 4.0], [1, 4])


def test_a_sample_is_a_copy_of_every_nth_element():
    tensors = [nn.Parameter(torch.arange(6.0).reshape(2, 3)), torch.arange(4.0)]
    copied, sizes = sample(tensors)
    assert (copied.tolist(), sizes) == ([*range(6), *range(4)], [6, 4])
    thinned, sizes = sample(tensors, max_elements=5)
    assert (thinned.tolist(), sizes) == ([0, 2, 4, 0, 2], [3, 2])
    with torch.no_grad():
        tensors[0].zero_()
    assert copied[1] == 1 and not copied.requires_grad


def test_ratios_and_norms_by_hand():
    assert module_norms({"a.w": 3.0, "a.b": 4.0, "scale": 2.0}) == {"a": 5.0, "scale": 2.0}
    assert [update_ratio(*each) for each in ((0.1, 2.0), (0.1, 0.0))] == [0.05, math.inf]
    assert update_ratio(0.0, 0.0) is None
