"""An accelerator that is not there: CPU tensors that pass for CUDA's, and a count of the copies to the host."""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("cuda", 99)
_aten = torch.ops.aten

WAITS = {
    _aten._local_scalar_dense.default,
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten.index.Tensor,  # by a mask
    _aten.unique_dim.default,
    _aten._unique2.default,
    _aten.bincount.default,
    _aten.repeat_interleave.Tensor,
    _aten.equal.default,
    _aten.is_nonzero.default,
}
"""Operations whose result, or its size, CUDA has to wait for."""


class DeviceTensor(Tensor):
    """A tensor that seems to be on the device; ``held`` are its numbers."""

    held: Tensor
    device = DEVICE  # type: ignore[assignment]  # for C++ it is on the meta device, which is there in each build
    is_meta = False  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> "DeviceTensor":
        options = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = Tensor._make_wrapper_subclass(cls, held.shape, device="meta", **options)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} outside of the accelerator's mode")


class Accelerator(TorchDispatchMode):
    """Runs operations on device tensors, and counts by name those that make the host wait for the device.

    Args:
        has_float64: whether the device has float64; Apple's has not.

    Example:
        >>> with Accelerator() as accelerator:
        ...     found = Accelerator.put(torch.ones(3)).sum().item()
        >>> found, accelerator.waits.total()
        (3.0, 1)
    """

    def __init__(self, *, has_float64: bool = True) -> None:
        super().__init__()
        self._has_float64 = has_float64
        self.waits: Counter[str] = Counter()

    def __enter__(self) -> "Accelerator":
        self._no_cuda = patch.object(torch.cuda, "_lazy_init")  # torch would look for the device that it is asked for
        self._no_cuda.start()
        self._device = patch.object(DeviceTensor, "device", DEVICE if self._has_float64 else torch.device("mps"))
        self._device.start()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._device.stop()
        self._no_cuda.stop()

    @staticmethod
    def put(tensor: Tensor) -> DeviceTensor:
        """A tensor of the device with these numbers."""
        return DeviceTensor(tensor.detach())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        inputs: list[DeviceTensor] = []
        tree_map_only(DeviceTensor, inputs.append, (args, kwargs))
        target = kwargs.get("device")
        is_on_device = torch.device(target).type != "cpu" if target else bool(inputs)
        if self._waits(func, args, kwargs, bool(inputs), is_on_device):
            self.waits[func.name()] += 1
        if target and is_on_device:
            kwargs["device"] = "cpu"
        args, kwargs = tree_map_only(DeviceTensor, lambda tensor: tensor.held, (args, kwargs))
        found = _run(func, args, kwargs)
        if not is_on_device:
            return found
        if not self._has_float64 and any(leaf.dtype is torch.float64 for leaf in _tensors(found)):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        return tree_map_only(Tensor, DeviceTensor, found)

    @staticmethod
    def _waits(func: Any, args: Any, kwargs: Any, had_inputs: bool, is_on_device: bool) -> bool:
        if func is _aten.copy_.default:  # in either direction
            return isinstance(args[0], DeviceTensor) != isinstance(args[1], DeviceTensor)
        if func is _aten._to_copy.default:
            return had_inputs != is_on_device
        return had_inputs and func in WAITS and kwargs.get("output_size") is None


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    if func is _aten.histc.default and not args[0].is_floating_point():  # CUDA counts integers, the CPU does not
        index, bins, low, high = args
        assert (low, high) == (0, bins)
        return torch.bincount(index, minlength=bins).to(index.dtype)
    return func(*args, **kwargs)
