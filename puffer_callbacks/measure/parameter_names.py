"""Selection and grouping of a model's parameters by name."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import reduce
from operator import add
from typing import Any

from torch import nn

from puffer_callbacks.values import Histogram
from puffer_callbacks.values.module_names import by_module
from puffer_callbacks.values.tags import as_names


def optimized(module: nn.Module, optimizer: Any) -> dict[str, nn.Parameter]:
    """The parameters of a module that an optimizer updates, by name as in the module before ``torch.compile``."""
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {plain_name(name): p for name, p in module.named_parameters() if id(p) in own}


def plain_name(name: str) -> str:
    """The name of a parameter without the prefixes of ``torch.compile`` and of Fabric.

    Example:
        >>> plain_name("net._orig_mod.0.weight"), plain_name("actor._forward_module.0.weight")
        ('net.0.weight', 'actor.0.weight')
    """
    return name.replace("_orig_mod.", "").replace("_forward_module.", "")


class Selection:
    """A set of names given by shell patterns: ``*.weight``, ``policy.actor.*``.

    Args:
        include: patterns of which a name has to match one; by default every name is included.
        exclude: patterns of which a name must not match any.

    Raises:
        TypeError: if a pattern is not a string.

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

    def unmatched(self, names: Iterable[str]) -> list[str]:
        """The patterns that match none of the names; most likely they are misspelled."""
        names = list(names)
        patterns = [*(self.include or ()), *self.exclude]
        return [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]


def merged_by_module(histograms: dict[str, Histogram]) -> dict[str, Histogram]:
    """The histograms of each module's direct parameters, merged into one.

    Example:
        >>> import torch
        >>> parts = {f"weights/net.{name}": Histogram.of(torch.ones(2)) for name in ("weight", "bias")}
        >>> merged_by_module(parts)["weights/net"].count
        4
    """
    return {tag: reduce(add, group) for tag, group in by_module(histograms).items()}


def _patterns(name: str, given: str | Iterable[str] | None) -> tuple[str, ...]:
    patterns = as_names(given)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"{name}: expected patterns such as '*.weight', got {pattern!r}")
    return patterns
