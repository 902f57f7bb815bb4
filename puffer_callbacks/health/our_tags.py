"""Series under the tags that the rules read, whatever a module or another library calls them."""

from collections.abc import Iterable

from puffer_callbacks.health.series import Series
from puffer_callbacks.values.self_logged import SELF_LOGGED
from puffer_callbacks.values.vocabulary import LOSSES

_OF_REWARDS = ("train/reward", "rollout/", "diagnostics/", "losses/policy", "losses/value", "time/env_steps")
"""What the tags of runs that learn from rewards begin with, among others."""
_OF_OTHERS_TOO = frozenset({"diagnostics/approx_kl", "diagnostics/clip_fraction", "diagnostics/explained_variance"})
"""Those of them that do not show rewards: a VAE has a KL too, and a regression an explained variance."""


def with_our_tags(series: dict[str, Series]) -> dict[str, Series]:
    """The series, and under our tags those that have but another name.

    Args:
        series: by tag.

    Example:
        >>> found = with_our_tags({"entropy": Series.of([1], [0.5], tag="entropy")})
        >>> {tag: each.values.tolist() for tag, each in found.items()}
        {'entropy': [0.5], 'train/entropy': [0.5], 'losses/entropy': [-0.5]}
    """
    found = dict(series)
    for tag, names in SELF_LOGGED.items():
        logged = next((name for name in names if name in series), None)
        if tag not in series and logged is not None:
            found[tag] = series[logged]
    for name, (tag, sign) in LOSSES.items():  # logs of other libraries have no group of losses
        other = found.get(f"train/{name}")
        if tag not in found and other is not None:
            found[tag] = Series(other.steps, sign * other.values)
    return found


def are_of_rewards(tags: Iterable[str]) -> bool:
    """Whether tags show that a run learns from rewards.

    Example:
        >>> are_of_rewards(["train/loss", "diagnostics/approx_kl"]), are_of_rewards(["train/reward"])
        (False, True)
    """
    return any(tag.startswith(_OF_REWARDS) and tag not in _OF_OTHERS_TOO for tag in tags)
