"""Which tensors of a model to look at."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import reduce
from operator import add
from typing import TypeVar

from puffer_callbacks.values import Histogram

T = TypeVar("T")


class Selection:
    """Names by patterns, as in a shell: ``*.weight``, ``policy.actor.*``.

    Args:
        include: patterns of which a name has to match one; every name where ``None``.
        exclude: patterns of which a name may match none.

    Raises:
        TypeError: if a pattern is no string.

    Example:
        >>> selection = Selection(include="*.weight", exclude=["head.*"])
        >>> [name for name in ("net.weight", "net.bias", "head.weight") if name in selection]
        ['net.weight']
    """

    def __init__(self, include: str | Iterable[str] | None = None, exclude: str | Iterable[str] = ()) -> None:
        self.include = None if include is None else _patterns("include", include)
        self.exclude = _patterns("exclude", exclude)

    def __contains__(self, name: object) -> bool:
        chosen = self.include is None or any(fnmatchcase(str(name), pattern) for pattern in self.include)
        return chosen and not any(fnmatchcase(str(name), pattern) for pattern in self.exclude)

    def idle(self, names: Iterable[str]) -> list[str]:
        """The patterns that match none of the names: most likely misspelled."""
        names = list(names)
        patterns = [*(self.include or ()), *self.exclude]
        return [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]


def merged_by_module(histograms: dict[str, Histogram]) -> dict[str, Histogram]:
    """One histogram for each module, of all its own parameters.

    Example:
        >>> import torch
        >>> parts = {f"weights/net.{name}": Histogram.of(torch.ones(2)) for name in ("weight", "bias")}
        >>> merged_by_module(parts)["weights/net"].count
        4
    """
    return {tag: reduce(add, group) for tag, group in by_module(histograms).items()}


def by_module(parameters: Mapping[str, T]) -> dict[str, list[T]]:
    """What belongs to each module's own parameters.

    Example:
        >>> by_module({"net.weight": 1, "net.bias": 2, "scale": 3})
        {'net': [1, 2], 'scale': [3]}
    """
    groups: dict[str, list[T]] = {}
    for name, value in parameters.items():
        groups.setdefault(name.rpartition(".")[0] or name, []).append(value)
    return groups


def _patterns(name: str, given: str | Iterable[str]) -> tuple[str, ...]:
    patterns = (given,) if isinstance(given, str) else tuple(given)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"{name}: expected patterns such as '*.weight', got {pattern!r}")
    return patterns
