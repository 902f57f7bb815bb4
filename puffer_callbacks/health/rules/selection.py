"""Some of the rules, by name."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Real

from puffer_callbacks.health.rule import Rule
from puffer_callbacks.health.rules import RULES


def selected_rules(rules: Mapping[str, bool], thresholds: Mapping[str, float]) -> tuple[Rule, ...]:
    """All rules but those that are switched off.

    Args:
        rules: name to whether it applies; those left out apply.
        thresholds: name to a threshold; only checked here.

    Raises:
        ValueError: if there is no rule of a name, it has no threshold, or what is given for it is of another type.

    Example:
        >>> len(RULES) - len(selected_rules({"gamma_low": False}, {}))
        1
    """
    _check(rules, [rule.name for rule in RULES], "rules", bool, "True or False")
    _check(thresholds, [rule.name for rule in RULES if rule.threshold is not None], "thresholds", Real, "a number")
    return tuple(rule for rule in RULES if rules.get(rule.name, True))


def _check(given: object, names: Sequence[str], argument: str, kind: type, expected: str) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{argument}: expected a mapping of the rule's name to {expected}, got {given!r}")
    for name, value in given.items():
        if name not in names:
            near = get_close_matches(str(name), names, n=3) or sorted(names)
            raise ValueError(f"{argument}: expected one of {', '.join(near)}, got {name!r}")
        if not isinstance(value, kind) or (kind is Real and isinstance(value, bool)):
            raise ValueError(f"{argument}[{name!r}]: expected {expected}, got {value!r}")
