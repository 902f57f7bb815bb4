"""The learning rates of a run's optimizers, by name."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from puffer_callbacks.values.scalars import Scalar


def rate_name(index: int, group: int = 0) -> str:
    """The name of the learning rate of an optimizer's parameter group.

    Example:
        >>> rate_name(0), rate_name(1, group=2)
        ('learning_rate', 'learning_rate/1/group_2')
    """
    name = "learning_rate" if index == 0 else f"learning_rate/{index}"
    return name if group == 0 else f"{name}/group_{group}"


def rates_in(groups: Iterable[Mapping[str, Any]], *, index: int) -> dict[str, Scalar]:
    """The rates in an optimizer's parameter groups, by name.

    Example:
        >>> rates_in([{"lr": 0.1}, {"lr": 0.2}], index=0)
        {'learning_rate': 0.1, 'learning_rate/group_1': 0.2}
    """
    rates = {rate_name(index, at): group["lr"] for at, group in enumerate(groups) if group.get("lr") is not None}
    # a tensor is copied: a scheduler writes into it
    return {name: rate.detach().clone() if isinstance(rate, Tensor) else float(rate) for name, rate in rates.items()}


def rates_of(index: int, rates: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Those of a run's rates that are this optimizer's.

    Example:
        >>> rates_of(0, {"learning_rate": 0.1, "learning_rate/group_1": 0.2, "learning_rate/1": 0.3})
        {'learning_rate': 0.1, 'learning_rate/group_1': 0.2}
    """
    name = rate_name(index)
    return {key: rate for key, rate in rates.items() if key == name or key.startswith(f"{name}/group_")}
