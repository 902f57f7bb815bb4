"""The way of the sketch through the compiled loops, where the package was built with them."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.histogram.count_table import histogram
from puffer_callbacks.histogram.histogram import Histogram
from puffer_callbacks.histogram.kernels import Float32Counter
from puffer_callbacks.histogram.local_tensor import lies_on_host

try:
    from puffer_callbacks.histogram import _counting
except ImportError:  # built without a compiler
    _counting = None  # type: ignore[assignment]

IS_COMPILED = _counting is not None

_MOST = (1 << 32) - 1
"""Numbers in one tensor, which are counted in 32 bits."""

_WORTH_A_THREAD = 1 << 17


def sketch_compiled(tensors: Mapping[str, Tensor]) -> dict[str, Histogram | None]:
    """The histograms of the tensors that lie plain in the host's memory.

    Returns:
        Name to histogram; ``None`` where some values are denormals or not finite.
    """
    names, addresses, sizes = [], [], []
    for name, tensor in tensors.items():
        if _is_plain(tensor):
            names.append(name)
            addresses.append(tensor.data_ptr())
            sizes.append(tensor.numel())
    threads = min(torch.get_num_threads(), sum(sizes) // _WORTH_A_THREAD)
    lines, in_bins, in_counts = _counting.sketch(addresses, sizes, Float32Counter.first_bin, threads)
    bins, counts = np.frombuffer(in_bins, np.int32), np.frombuffer(in_counts, np.int64)
    found: dict[str, Histogram | None] = dict.fromkeys(names)
    start = 0
    for name, line in zip(names, lines, strict=True):
        if line is not None:
            end = line[0]
            found[name] = histogram(bins[start:end], counts[start:end], 0, line[1:])
            start = end
    return found


def _is_plain(tensor: Tensor) -> bool:
    return lies_on_host(tensor) and tensor.dtype is torch.float32 and tensor.numel() <= _MOST and tensor.is_contiguous()
