"""Norms against NumPy's in float64."""

import numpy as np
import pytest
import torch

from puffer_callbacks.measure.norms import norms


@pytest.mark.parametrize("shape", [(), (3,), (0,), (64, 128), (8192,), (8193,), (3, 5000), (1000, 1111)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64])
def test_norms_agree_with_numpy(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor = torch.randn(shape, dtype=dtype)
    wide = tensor if dtype.is_complex else tensor.double()
    expected = float(np.linalg.norm(wide.numpy().reshape(-1).astype(np.complex128)))
    found = norms([tensor])[0]
    assert found.shape == ()
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert found.item() == pytest.approx(expected, rel=1e-6)


STRIDES = {
    "contiguous": lambda tensor: tensor,
    "transposed": torch.t,
    "channels last": lambda tensor: tensor.view(16, 64, 128, 128).to(memory_format=torch.channels_last),
    "with gaps": lambda tensor: tensor[:, ::2],
    "one number in a row": lambda tensor: torch.zeros_like(tensor).index_fill_(1, torch.tensor(0), 0.1),
}


@pytest.mark.parametrize("strides", STRIDES)
def test_norms_of_large_tensors_are_exact(strides: str) -> None:
    tensor = STRIDES[strides](torch.rand(1 << 12, 1 << 12))
    assert norms([tensor])[0].item() == pytest.approx(float(tensor.double().square().sum().sqrt()), rel=1e-7)


@pytest.mark.parametrize("size", [8192, 12288])
def test_norms_of_numbers_that_are_all_alike(size: int) -> None:
    """Their rounding errors all go one way."""
    tensor = torch.full((size,), 0.1)
    assert norms([tensor])[0].item() == pytest.approx(tensor[0].item() * size**0.5, rel=1e-5)


def test_without_tensors_there_are_no_norms() -> None:
    assert norms([]) == []


def test_bfloat16_does_not_overflow() -> None:
    assert norms([torch.full((100,), 1e17, dtype=torch.bfloat16)])[0].item() == pytest.approx(1e18, rel=1e-2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("size", [10, 20000])
def test_nan_and_infinity_propagate(bad: float, size: int) -> None:
    tensor = torch.ones(size)
    tensor[-1] = bad
    assert not norms([tensor])[0].isfinite()


def test_strided_and_sparse_tensors_are_accepted() -> None:
    matrix = torch.randn(300, 200)
    sparse = torch.eye(5).to_sparse() * 2
    found = norms([matrix.t(), matrix[::2, ::3], sparse])
    expected = [matrix.norm(), matrix[::2, ::3].norm(), torch.tensor(20.0).sqrt()]
    torch.testing.assert_close(found, expected)


def test_norms_are_not_part_of_a_graph() -> None:
    assert not norms([torch.ones(3, requires_grad=True)])[0].requires_grad
