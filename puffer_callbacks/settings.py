"""Any configuration, flat: name to number, string or boolean."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any

from puffer_callbacks.values import Setting

_LONGEST = 1000
"""Characters of a setting that are kept: a log is no place for a data set."""


def flat_settings(config: object, prefix: str = "") -> dict[str, Setting]:
    """Flatten a configuration.

    Args:
        config: a mapping, ``Namespace`` or dataclass, nested at will.
        prefix: what stands before each name.

    Example:
        >>> flat_settings({"ppo": {"gamma": 0.99, "hidden": [64, 64]}, "note": None})
        {'ppo/gamma': 0.99, 'ppo/hidden': '[64, 64]', 'note': 'None'}
    """
    settings: dict[str, Setting] = {}
    for name, value in _items(config):
        if _is_nested(value):
            settings |= flat_settings(value, f"{prefix}{name}/")
        else:
            settings[f"{prefix}{name}"] = _setting(value)
    return settings


def _is_nested(value: object) -> bool:
    if isinstance(value, Mapping):
        return bool(value)
    return isinstance(value, Namespace) or (is_dataclass(value) and not isinstance(value, type))


def _items(config: Any) -> list[tuple[str, Any]]:
    if isinstance(config, Namespace):
        config = vars(config)
    elif is_dataclass(config) and not isinstance(config, type):
        config = asdict(config)
    return [(str(name), value) for name, value in dict(config).items()]


def _setting(value: Any) -> Setting:
    if isinstance(value, bool | int | float | str) and not isinstance(value, Enum):
        return value[:_LONGEST] if isinstance(value, str) else value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, type) or callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    number = _number(value)
    return str(value)[:_LONGEST] if number is None else number


def _number(value: Any) -> Setting | None:
    """A 0-d tensor or a NumPy number as Python's."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        item = value.item()
        return item if isinstance(item, bool | int | float) else None
    return None
