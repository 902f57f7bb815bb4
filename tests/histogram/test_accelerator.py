"""Tensors of an accelerator: the right histograms, and one copy to the host. A stand-in counts; CUDA where there is."""

import warnings

import numpy as np
import pytest
import torch

from puffer_callbacks.histogram import kernels
from puffer_callbacks.values import Histogram
from tests.support.accelerator import Accelerator
from tests.support.tensors import assert_same, by_numpy, tensors

COPY = "aten::_to_copy"


def model() -> dict[str, torch.Tensor]:
    """Small and large tensors of the dtypes of a network, with zeros."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"large": (300, 1000), "chunks": (3, kernels.CHUNK_ON_DEVICE // 2), "small": (7, 9), "bias": (9,)}
    found = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    found |= {"zeros": torch.zeros(40), "relu": torch.randn(500, generator=generator).relu()}
    return found | {"half": found["small"].half(), "bfloat16": found["large"].bfloat16()}


def rollout() -> dict[str, torch.Tensor]:
    """What a rollout holds beside float32."""
    return {
        "actions": torch.randint(0, 6, (64, 8)),
        "returns": torch.linspace(-3, 4, 100, dtype=torch.float64),
        "dones": torch.arange(30) % 7 == 0,
        "frames": torch.arange(256, dtype=torch.uint8),
        "levels": torch.arange(-5, 5, dtype=torch.int32),
    }


DENSE = {name: each for name, each in tensors().items() if each.layout is torch.strided and not each._is_zerotensor()}


def test_a_firing_copies_to_the_host_once() -> None:
    given = model() | rollout()
    with Accelerator() as accelerator:
        on_device = {name: accelerator.put(tensor) for name, tensor in given.items()}
        Histogram.of_all(on_device)
        accelerator.waits.clear()  # the sizes of a model are copied to the device once
        found = Histogram.of_all(on_device)
    assert accelerator.waits == {COPY: 1}
    for name, tensor in given.items():
        assert_same(found[name], by_numpy(tensor))


@pytest.mark.parametrize("name", DENSE)
def test_any_dense_tensor(name: str) -> None:
    tensor = DENSE[name].detach().resolve_conj().resolve_neg()
    with Accelerator() as accelerator:
        found = Histogram.of(accelerator.put(tensor))
    assert_same(found, by_numpy(tensor))


def test_many_tensors_take_several_copies() -> None:
    with Accelerator() as accelerator:
        given = {str(i): accelerator.put(torch.full((2,), float(i))) for i in range(600)}
        Histogram.of_all(given)
        accelerator.waits.clear()
        found = Histogram.of_all(given)
    assert [found[str(i)].max for i in range(600)] == list(range(600))
    assert accelerator.waits == {COPY: 2}


def test_the_stand_in_counts_what_waits() -> None:
    with Accelerator() as accelerator:
        tensor = accelerator.put(torch.arange(4))
        assert int((tensor * 2).sum()) == 12
        assert tensor.device.type == "cuda"
        assert not accelerator.waits[COPY]
        tensor.nonzero(), tensor.bincount(), tensor.cpu(), torch.ones(3).to(tensor.device)
        tensor.repeat_interleave(tensor)
        tensor.repeat_interleave(tensor, output_size=6)
    assert accelerator.waits == {
        "aten::_local_scalar_dense": 1,
        "aten::nonzero": 1,
        "aten::bincount": 1,
        "aten::repeat_interleave.Tensor": 1,
        COPY: 2,
    }


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@cuda
@pytest.mark.parametrize("name", DENSE)
def test_on_cuda_any_dense_tensor(name: str) -> None:
    tensor = DENSE[name].detach().cuda()
    # CUDA rounds the magnitude of a complex number otherwise than the host
    numbers = tensor.to(torch.complex128).abs() if tensor.is_complex() else tensor
    assert_same(Histogram.of(tensor), by_numpy(numbers.cpu()))


@cuda
def test_on_cuda_a_firing_copies_to_the_host_once() -> None:
    on_device = {name: tensor.cuda() for name, tensor in (model() | rollout()).items()}
    Histogram.of_all(on_device)
    with warnings.catch_warnings(record=True) as waits:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")  # which warns that it is a prototype
        try:
            found = Histogram.of_all(on_device)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert len([each for each in waits if "called a synchronizing" in str(each.message)]) == 1
    for name, tensor in (model() | rollout()).items():
        assert_same(found[name], by_numpy(tensor))


@cuda
def test_on_cuda_under_deterministic_algorithms() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        found = Histogram.of_all(
            {"large": torch.ones(300_000).cuda(), "small": torch.ones(3, dtype=torch.int64).cuda()}
        )
    finally:
        torch.use_deterministic_algorithms(False)
    assert [histogram.sum for histogram in found.values()] == [300_000, 3]
    assert np.array_equal(found["large"].bins, found["small"].bins)
