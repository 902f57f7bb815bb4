"""Metrics as lines of text."""

import re
from collections.abc import Mapping
from functools import lru_cache

_COUNTS = re.compile(
    r"epoch|.+_steps|nonfinite/.+|health/.+|old_gradients/.+|logging/every_n_steps/.+|plasticity/effective_rank/.+"
    r"|diagnostics/(num_actions|action_dimensions|softmaxes|mask_shift|target_copied|repeated_rollout|has_\w+)"
)
"""Tags whose values are whole by nature: steps, numbers of things, and 1 where something holds."""


def metric_lines(values: Mapping[str, float]) -> list[str]:
    """One line per ``train/`` metric and one line per other group.

    Args:
        values: tag to value.

    Example:
        >>> metric_lines({"train/reward": 21.34, "losses/policy": 0.01, "losses/value": 0.5})
        ['train/reward = 21.3400', 'losses { policy=0.0100, value=0.5000 }']
    """
    lines: list[str] = []
    groups: dict[str, list[str]] = {}
    for tag, value in values.items():
        group, _, name = tag.partition("/")
        if name and group != "train":
            groups.setdefault(group, []).append(f"{name}={_number(tag, value)}")
        else:
            lines.append(f"{tag} = {_number(tag, value)}")
    return lines + [f"{group} {{ {', '.join(listed)} }}" for group, listed in groups.items()]


def is_count(tag: str, value: float) -> bool:
    """Whether a value is a whole number by nature; a mean that happens to be whole is none.

    Example:
        >>> is_count("time/optimizer_steps", 16.0), is_count("train/episode_length", 16.0)
        (True, False)
    """
    return float(value).is_integer() and _is_of_counts(tag)


@lru_cache(maxsize=4096)
def _is_of_counts(tag: str) -> bool:
    return _COUNTS.fullmatch(tag) is not None


def _number(tag: str, value: float) -> str:
    """The number with four decimals, or in exponent notation where they would be meaningless; counts are whole."""
    if is_count(tag, value):
        return f"{value:.0f}"
    if (value != 0 and abs(value) < 0.001) or abs(value) >= 1e12:
        return f"{value:.4e}"
    return f"{value:.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.4f}"
