"""Flattening of configurations: name to number, string or boolean."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeGuard

from puffer_callbacks.values import Setting

_LONGEST = 1000
"""Characters of a setting that are kept; a data set in a configuration would bloat the log."""
DEEPEST = 16
"""Levels of nesting that are looked into; this bounds a configuration that contains itself."""


def flat_settings(config: object, prefix: str = "") -> dict[str, Setting]:
    """The settings of a configuration, nested names joined by ``/``.

    Args:
        config: a mapping, ``Namespace`` or dataclass, nested to any depth, also within lists; OmegaConf's too.
        prefix: prepended to each name.

    Returns:
        Name to number, string or boolean, without entries that cannot be read, such as a missing value (``???``)
        of OmegaConf.

    Example:
        >>> flat_settings({"ppo": {"gamma": 0.99, "hidden": [64, 64]}, "envs": [{"id": "CartPole"}]})
        {'ppo/gamma': 0.99, 'ppo/hidden': '[64, 64]', 'envs/0/id': 'CartPole'}
    """
    return _flatten(config, prefix, DEEPEST)


def _flatten(config: object, prefix: str, depth: int) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for name, value in items_of(config):
        full_name = prefix + _text(name)
        if depth and _is_nested(value):
            settings |= _flatten(value, f"{full_name}/", depth - 1)
        else:
            settings[full_name] = _setting(value)
    return settings


def _is_nested(value: object) -> bool:
    if is_sequence(value):
        return any(_is_nested(entry) for _, entry in items_of(value) if entry is not value)
    if isinstance(value, Mapping):
        return len(value) > 0
    return is_record(value)


def is_record(value: object) -> bool:
    """Whether a value is a ``Namespace`` or a dataclass, whose attributes are settings."""
    return isinstance(value, Namespace) or (is_dataclass(value) and not isinstance(value, type))


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a list of others, OmegaConf's included."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview | range)


def items_of(config: Any) -> Iterator[tuple[Any, Any]]:
    """The entries of a configuration by name or place; OmegaConf raises for one that is missing or refers to one."""
    if isinstance(config, Namespace):
        config = vars(config)
    elif is_record(config):
        config = {field.name: getattr(config, field.name) for field in fields(config)}
    for name in range(len(config)) if is_sequence(config) else config:
        try:
            value = config[name]
        except Exception:
            continue
        yield name, value


def _setting(value: Any) -> Setting:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return _text(value)
    if isinstance(value, bool | int | float):
        return value
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__qualname__))
    number = _number(value)
    return _text(value) if number is None else number


def _number(value: Any) -> Setting | None:
    """A 0-d tensor or NumPy number as a Python number; ``None`` for anything else."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item") and not getattr(value, "is_meta", False):
        item = value.item()
        return item if isinstance(item, bool | int | float) else None
    return None


def _text(value: object) -> str:
    """The value as a string that any backend can store."""
    try:
        return str(value)[:_LONGEST].encode(errors="replace").decode()
    except Exception:
        return f"<{type(value).__qualname__}>"
