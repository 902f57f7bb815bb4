"""The compiled kernel, where the package was built with it: the fast path for float32 tensors in the host's memory.

It counts in the threads of torch's OpenMP runtime, as many as ``torch.get_num_threads()``. As with torch's own
operations, a process that was forked after the first use must set that to 1, which torch's ``DataLoader`` does.

Set ``PUFFER_CALLBACKS_NO_KERNEL=1`` before the package is imported to do without the kernel: the histograms are the
same.
"""

import logging
import os
from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from puffer_callbacks.histogram.count_table import Counted
from puffer_callbacks.histogram.local_tensor import is_held

try:
    from puffer_callbacks.histogram import _counting
except ImportError:  # built without a compiler
    _counting = None  # type: ignore[assignment]

IS_COMPILED = _counting is not None and os.environ.get("PUFFER_CALLBACKS_NO_KERNEL", "") in {"", "0"}

_MOST = (1 << 32) - 1
"""Numbers in one tensor, which are counted in 32 bits."""

_WORTH_A_THREAD = 1 << 17

_log = logging.getLogger("puffer_callbacks")


def count_compiled(tensors: Mapping[str, Tensor]) -> dict[str, Counted | None]:
    """Count the float32 tensors that are contiguous in the host's memory.

    Returns:
        What was counted by name; ``None`` where there are values that are not finite or denormal. Other tensors are
        left out, and all of them where there is no kernel.
    """
    _log_what_is_slower()
    if not IS_COMPILED:
        return {}
    arrays = {name: tensor.detach().numpy() for name, tensor in tensors.items() if _is_countable(tensor)}
    threads = min(torch.get_num_threads(), sum(array.size for array in arrays.values()) // _WORTH_A_THREAD)
    found: dict[str, Counted | None] = {}
    for name, result in zip(arrays, _counting.count(list(arrays.values()), threads), strict=True):
        if result is None:
            found[name] = None
        else:
            bins, counts = np.frombuffer(result[0], np.int32), np.frombuffer(result[1], np.int64)
            found[name] = Counted(bins, counts, 0, *result[2:])
    return found


def _is_countable(tensor: Tensor) -> bool:
    return (
        tensor.dtype is torch.float32
        and tensor.is_cpu
        and type(tensor) in (Parameter, Tensor)
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and tensor.is_contiguous()
        and 0 < tensor.numel() <= _MOST
        and is_held(tensor)
        and tensor.data_ptr() % 4 == 0
        and not tensor.is_neg()
        and not tensor._is_zerotensor()
    )


@cache
def _log_what_is_slower() -> None:
    """Log once, in one line, why histograms take longer."""
    if not IS_COMPILED:
        reason = "PUFFER_CALLBACKS_NO_KERNEL is set" if _counting else "the package was built without a C compiler"
        _log.warning("Histograms take several times as long: their compiled kernel is missing, as %s.", reason)
    elif not _counting.HAS_THREADS and torch.get_num_threads() > 1:
        _log.warning("Histograms of large models take longer: torch has no OpenMP threads here, so one thread counts.")
