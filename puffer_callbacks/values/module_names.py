"""Grouping of parameters by module."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def by_module(parameters: Mapping[str, T]) -> dict[str, list[T]]:
    """The entries of each module's direct parameters, by module.

    Args:
        parameters: name of a parameter to any value.

    Example:
        >>> by_module({"net.weight": 1, "net.bias": 2, "scale": 3})
        {'net': [1, 2], 'scale': [3]}
    """
    groups: dict[str, list[T]] = {}
    for name, value in parameters.items():
        groups.setdefault(name.rpartition(".")[0] or name, []).append(value)
    return groups
