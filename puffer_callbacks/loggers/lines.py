"""Metrics as lines of text."""

from collections.abc import Mapping


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
    """Whether a value is a count: steps so far, or values that are not finite so far.

    Example:
        >>> is_count("time/optimizer_steps", 16.0), is_count("train/episode_length", 16.0)
        (True, False)
    """
    return (tag.endswith("_steps") or tag.startswith("nonfinite/")) and float(value).is_integer()


def _number(tag: str, value: float) -> str:
    """The number with four decimals, or in exponent notation where they would be meaningless; counts are whole."""
    if is_count(tag, value):
        return f"{value:.0f}"
    if (value != 0 and abs(value) < 0.001) or abs(value) >= 1e12:
        return f"{value:.4e}"
    return f"{value:.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.4f}"
