"""Gradients and updates as numbers: norms, update ratios, and how noisy the gradient is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

MOST_KEPT = 16 * 2**20
"""Elements kept of the weights before a step (64 MiB of float32); of larger models an even sample is kept."""


def optimized(module: nn.Module, optimizer: Any) -> dict[str, nn.Parameter]:
    """The parameters of a module that an optimizer steps, by name; compiled parts go by their original names."""
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {plain_name(name): p for name, p in module.named_parameters() if id(p) in own}


def plain_name(name: str) -> str:
    """A parameter's name without what ``torch.compile`` puts in.

    Example:
        >>> plain_name("net._orig_mod.0.weight")
        'net.0.weight'
    """
    return name.replace("_orig_mod.", "")


@torch.no_grad()
def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The Euclidean norm of each tensor, 0-d, in float32 at least; of a ``DTensor`` that of the whole.

    Every rank that holds a part of a ``DTensor`` has to call it.
    """
    if all(
        type(t) in (Tensor, nn.Parameter) and t.dtype is torch.float32 and t.layout is torch.strided for t in tensors
    ):
        return list(torch._foreach_norm(list(tensors)))  # one call for all, as in torch's own gradient clipping
    return [_whole(torch.linalg.vector_norm(_dense(t), dtype=_wide(t.dtype))) for t in tensors]


@torch.no_grad()
def total_norm(each: Iterable[Tensor]) -> Tensor:
    """The norm of all tensors together, from the norm of each."""
    total: Tensor = torch.linalg.vector_norm(torch.stack([norm.double() for norm in each]))
    return total


def module_norms(each: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The norm over each module's own parameters, from the norm of each parameter.

    Example:
        >>> found = module_norms({"net.weight": torch.tensor(3.0), "net.bias": torch.tensor(4.0)})
        >>> found["net"].item()
        5.0
    """
    groups: dict[str, list[Tensor]] = {}
    for name, norm in each.items():
        groups.setdefault(name.rpartition(".")[0] or name, []).append(norm)
    return {module: total_norm(group) for module, group in groups.items()}


@torch.no_grad()
def sample(tensors: Iterable[Tensor], *, most: int = MOST_KEPT) -> list[Tensor]:
    """A copy of the tensors; where they have more than ``most`` elements together, of every n-th element."""
    local = [_local(_dense(tensor)).detach().reshape(-1) for tensor in tensors]
    stride = -(-sum(t.numel() for t in local) // most)
    return [t[:: max(stride, 1)].clone() for t in local]


@torch.no_grad()
def update_ratios(before: Sequence[Tensor], after: Sequence[Tensor]) -> list[Tensor]:
    """|update| / |weight| of each parameter, from samples before and after the step; about 1e-3 is common."""
    changes = norms([new - old for old, new in zip(before, after, strict=True)])
    return list((torch.stack(changes) / torch.stack(norms(before))).unbind())


@torch.no_grad()
def inner_products(first: Tensor, second: Tensor) -> Tensor:
    """|g1|², |g2|² and g1 · g2 of two gradients [n], float64 [3]."""
    first, second = first.double(), second.double()
    return torch.stack([first @ first, second @ second, first @ second])


class NoiseScale:
    """The simple gradient noise scale, B = tr(Σ) / |G|² (McCandlish et al. 2018, arXiv:1812.06162, equation 2.9).

    About the batch size, in examples, beyond which larger batches stop to help. It is estimated as in the paper's
    appendix A.1 from gradients of two batch sizes: two steps next to each other are two batches of size b, and
    their mean is one of size 2b. With g1 and g2 the gradients,

        |G|² ≈ (2b |(g1 + g2) / 2|² − b (|g1|² + |g2|²) / 2) / b = g1 · g2
        tr(Σ) ≈ ((|g1|² + |g2|²) / 2 − |(g1 + g2) / 2|²) / (1 / b − 1 / 2b) = b ((|g1|² + |g2|²) / 2 − g1 · g2)

    Both are averaged over firings before they are divided, as the paper advises. The weights move between the two
    steps, which the estimate takes for noise: it is good where the learning rate is small.

    Args:
        decay: of the running averages.

    Example:
        >>> scale = NoiseScale()
        >>> scale.update(3.0, 3.0, 1.0, batch_size=8)
        16.0
    """

    def __init__(self, decay: float = 0.9) -> None:
        self._decay = decay
        self._noise = self._signal = 0.0

    def update(self, first: float, second: float, inner: float, *, batch_size: int) -> float:
        """Add |g1|², |g2|² and g1 · g2; returns the noise scale so far, infinite where no signal stands out."""
        self._noise += (1 - self._decay) * (batch_size * ((first + second) / 2 - inner) - self._noise)
        self._signal += (1 - self._decay) * (inner - self._signal)
        return self._noise / self._signal if self._signal > 0 else float("inf")

    def state_dict(self) -> dict[str, float]:
        """The running averages."""
        return {"noise": self._noise, "signal": self._signal}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continue from a checkpoint's averages."""
        self._noise, self._signal = state["noise"], state["signal"]


def _dense(tensor: Tensor) -> Tensor:
    return tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _whole(norm: Tensor) -> Tensor:
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
