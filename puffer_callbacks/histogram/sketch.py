"""Histograms of many tensors at once, at about the speed of reading them."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from puffer_callbacks.histogram import native
from puffer_callbacks.histogram.assembly import narrow, wide, zeros_histogram
from puffer_callbacks.histogram.histogram import Histogram
from puffer_callbacks.histogram.local_tensor import Part, local_part
from puffer_callbacks.histogram.small_tensors import sketch_on_host


def sketch(tensors: Mapping[str, Tensor]) -> dict[str, Histogram]:
    """The histogram of each tensor, of what this process holds of it.

    One pass over the numbers, in chunks: no look for the range first, a few MiB of temporary memory whatever
    the sizes, nothing that waits for the device but the transfer of the result, one for up to 512 tensors.
    What is rare takes a second pass: values that are not finite, denormals, zeros that could be denormals.

    Args:
        tensors: name to tensor, of any shape, strides and device. Dtypes: floating point, integers (rounded
            to float64 beyond 2**53), booleans, complex numbers (by their magnitude). Sparse tensors count with
            their zeros. Of a ``DTensor`` the local shard counts, and where it is replicated only on the first
            replica.

    Returns:
        Name to histogram. Counts, minimum and maximum are exact, sums are added up in float64.

    Raises:
        TypeError: if one of them is no tensor.
        ValueError: if one of them is on the meta device, quantized, or holds partial sums.

    Example:
        >>> sketch({"weights": torch.ones(3, 2), "mask": torch.tensor([True, False])})["weights"].sum
        6.0
    """
    at_once = native.sketch_compiled if native.IS_COMPILED else sketch_on_host
    found = at_once(tensors)
    if len(found) < len(tensors) or any(histogram is None for histogram in found.values()):
        found |= _sketch({name: tensor for name, tensor in tensors.items() if found.get(name) is None})
    return {name: histogram for name in tensors if (histogram := found[name])}


@torch.no_grad()
def _sketch(tensors: Mapping[str, Tensor]) -> dict[str, Histogram | None]:
    parts = {name: local_part(name, tensor) for name, tensor in tensors.items()}
    full = {name: part for name, part in parts.items() if part.values.numel()}
    found: dict[str, Histogram | None] = {n: zeros_histogram(p.zeros) for n, p in parts.items() if n not in full}
    for group in _groups({name: part for name, part in full.items() if not part.wide}, 512):
        found |= narrow(group)
    for group in _groups({name: part for name, part in full.items() if found.get(name) is None}, 64):
        found |= wide(group)
    return found


def _groups(parts: Mapping[str, Part], most: int) -> Iterator[dict[str, Part]]:
    """Parts of one device, the smallest first, and not too many: that bounds the memory of their counts."""
    by_device: dict[torch.device, list[str]] = {}
    for name in sorted(parts, key=lambda name: parts[name].values.numel()):
        by_device.setdefault(parts[name].values.device, []).append(name)
    for names in by_device.values():
        for start in range(0, len(names), most):
            yield {name: parts[name] for name in names[start : start + most]}
