"""``StepMeasures``: what ``GradientCallback`` measures at one step of one optimizer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from puffer_callbacks.values.scalars import to_host


@dataclass
class StepMeasures:
    """Numbers measured at one step, on the device: all of them reach the host together.

    Args:
        is_clipped: whether the gradients are not those of the backward pass any more.

    Example:
        >>> measures = StepMeasures(is_clipped=False)
        >>> measures.numbers["norms"] = {"weight": torch.tensor(2.0)}
        >>> measures.to_host()
        {'norms': {'weight': 2.0}}
    """

    is_clipped: bool
    numbers: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """Kind to name to number."""

    def state_dict(self) -> dict[str, Any]:
        """The numbers, for a checkpoint."""
        return {"is_clipped": self.is_clipped, "numbers": self.to_host()}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """The numbers of a checkpoint."""
        as_tensors = {
            kind: {name: torch.tensor(number, dtype=torch.float64) for name, number in named.items()}
            for kind, named in state["numbers"].items()
        }
        return cls(state["is_clipped"], as_tensors)

    def to_host(self) -> dict[str, dict[str, float]]:
        """The numbers as floats, by one transfer."""
        numbers = iter(to_host([number for named in self.numbers.values() for number in named.values()]))
        return {kind: {name: next(numbers) for name in named} for kind, named in self.numbers.items()}
