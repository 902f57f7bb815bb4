"""Update ratios, gradient norms by module, and the gradient noise scale."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from puffer_callbacks.histogram.local_tensor import where_float64_is
from puffer_callbacks.measure.norms import PLAIN, stored, total
from puffer_callbacks.values.module_names import by_module

MAX_SAMPLED = 16 * 2**20
"""Elements in a copy of the weights (64 MiB of float32); larger models are sampled evenly."""


def sample(tensors: Iterable[Tensor], *, max_elements: int = MAX_SAMPLED) -> tuple[Tensor, list[int]]:
    """A flat copy of the tensors, of every n-th element if they have more than ``max_elements`` together.

    Args:
        tensors: of any shape; of a ``DTensor`` the local shard.
        max_elements: the length of the copy, at most about this.

    Returns:
        The copy [n], on the device of the first tensor, and the number of its elements from each tensor.
    """
    local = [_flat(tensor) for tensor in tensors]
    stride = -(-sum(t.numel() for t in local) // max_elements)
    if stride > 1:
        local = [t[::stride] for t in local]
    if len({t.device for t in local}) > 1:
        local = [t.to(local[0].device) for t in local]
    return torch.cat(local), [t.numel() for t in local]


@torch.no_grad()
def inner_products(first: Tensor, second: Tensor) -> list[Tensor]:
    """The products |g1|², |g2|² and g1 · g2 of two gradients [n], in float64."""
    first, second = (where_float64_is(each).double() for each in (first, second))
    return [first @ first, second @ second, first @ second]


def module_norms(each: Mapping[str, float]) -> dict[str, float]:
    """The norm of each module's direct parameters, from the norm of each parameter.

    Example:
        >>> module_norms({"net.weight": 3.0, "net.bias": 4.0})
        {'net': 5.0}
    """
    return {module: total(group) for module, group in by_module(each).items()}


def update_ratio(change: float, weight: float) -> float | None:
    """The ratio |update| / |weight|, from the norms of both; about 1e-3 is common.

    Returns:
        ``None`` for weights that are 0 and stay so, as those of an empty parameter: 0 / 0 is no number.

    Example:
        >>> update_ratio(0.002, 2.0), update_ratio(0.1, 0.0), update_ratio(0.0, 0.0)
        (0.001, inf, None)
    """
    if weight:
        return change / weight
    return math.inf if change else None


class NoiseScale:
    """The simple gradient noise scale, B = tr(Σ) / |G|² (McCandlish et al. 2018, arXiv:1812.06162, equation 2.9).

    Roughly the batch size, in examples, above which larger batches stop to help. It is estimated as in the paper's
    appendix A.1 from gradients of two batch sizes: two consecutive steps are two batches of size b, and
    their mean is one of size 2b. With g1 and g2 the gradients,

        |G|² ≈ (2b |(g1 + g2) / 2|² − b (|g1|² + |g2|²) / 2) / b = g1 · g2
        tr(Σ) ≈ ((|g1|² + |g2|²) / 2 − |(g1 + g2) / 2|²) / (1 / b − 1 / 2b) = b ((|g1|² + |g2|²) / 2 − g1 · g2)

    Both are averaged over measurements before they are divided, as the paper recommends. The weights move between
    the two steps, which counts as noise here: the estimate is good for small learning rates.

    Args:
        decay: of the running averages, in [0, 1).

    Example:
        >>> scale = NoiseScale()
        >>> scale.update(3.0, 3.0, 1.0, batch_size=8)
        16.0
    """

    def __init__(self, decay: float = 0.9) -> None:
        self._decay = decay
        self._noise = self._signal = 0.0

    def update(self, first: float, second: float, inner: float, *, batch_size: int) -> float | None:
        """Add a measurement, and return the noise scale so far.

        Args:
            first: |g1|².
            second: |g2|².
            inner: g1 · g2.
            batch_size: b, in examples.

        Returns:
            The noise scale in examples; ``None`` while the estimate of |G|² is not above 0, and for gradients that
            are not finite, which are left out of the averages.
        """
        if not all(map(math.isfinite, (first, second, inner))):
            return None
        self._noise += (1 - self._decay) * (batch_size * ((first + second) / 2 - inner) - self._noise)
        self._signal += (1 - self._decay) * (inner - self._signal)
        scale = self._noise / self._signal if self._signal > 0 else math.inf
        return scale if math.isfinite(scale) else None

    def state_dict(self) -> dict[str, float]:
        """The running averages."""
        return {"noise": self._noise, "signal": self._signal}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continue from a checkpoint's averages."""
        self._noise, self._signal = state["noise"], state["signal"]


def _flat(tensor: Tensor) -> Tensor:
    """The real numbers of a tensor, of a ``DTensor`` the local shard, of a sparse tensor those that it stores."""
    if type(tensor) in PLAIN and tensor.is_floating_point() and not tensor.is_sparse:
        return tensor.detach().reshape(-1)
    local: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return stored(local).detach().reshape(-1)
