"""Measures of tensors on a device without float64, as Apple's, against those on the host."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from puffer_callbacks.measure.episode_counter import to_numpy
from puffer_callbacks.measure.gradients import inner_products, sample
from puffer_callbacks.measure.norms import norms
from puffer_callbacks.measure.plasticity import dormant_ratio, effective_rank, feature_norm, saturated_ratio
from puffer_callbacks.values import Histogram
from tests.support.accelerator import Accelerator

MEASURES: dict[str, Callable[[Tensor], Any]] = {
    "norms": lambda tensor: norms([tensor, tensor[:2]]),
    "inner products": lambda tensor: inner_products(*[sample([tensor])[0]] * 2),
    "dormant ratio": dormant_ratio,
    "effective rank": effective_rank,
    "feature norm": feature_norm,
    "saturated ratio": saturated_ratio,
    "returns": lambda tensor: to_numpy(tensor).tolist(),
    "histogram": lambda tensor: Histogram.of(tensor).counts.tolist(),
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_device_without_float64(name: str) -> None:
    tensor = torch.randn(300, 40, generator=torch.Generator().manual_seed(0))
    with Accelerator(has_float64=False) as accelerator:
        found = MEASURES[name](accelerator.put(tensor))
        found = [float(each) for each in found] if isinstance(found, list) and name != "returns" else found
    assert found == MEASURES[name](tensor)
