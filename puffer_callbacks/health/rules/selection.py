"""Some of the rules, by name."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from puffer_callbacks.health.rule import Rule
from puffer_callbacks.health.rules import RULES


def selected_rules(rules: Mapping[str, bool], thresholds: Mapping[str, float]) -> tuple[Rule, ...]:
    """All rules but those that are switched off.

    Args:
        rules: name to whether it applies; those left out apply.
        thresholds: name to a threshold; only checked here.

    Raises:
        ValueError: if there is no rule of a name, or it has no threshold.

    Example:
        >>> len(RULES) - len(selected_rules({"gamma_low": False}, {}))
        1
    """
    by_name = {rule.name: rule for rule in RULES}
    _check(rules, by_name, "rules")
    _check(thresholds, [rule.name for rule in RULES if rule.threshold is not None], "thresholds")
    return tuple(rule for rule in RULES if rules.get(rule.name, True))


def _check(given: Iterable[str], known: Iterable[str], argument: str) -> None:
    known = list(known)
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=3) or sorted(known)
            raise ValueError(f"{argument}: expected one of {', '.join(near)}, got {name!r}")
