"""Histograms of many tensors at once."""

from collections.abc import Mapping

from torch import Tensor

from puffer_callbacks.values import Histogram


def sketch(tensors: Mapping[str, Tensor]) -> dict[str, Histogram]:
    """The histogram of each tensor."""
    return {name: Histogram.of(tensor) for name, tensor in tensors.items()}
