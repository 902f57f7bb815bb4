"""The tags of what training steps return and log."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from puffer_callbacks.recorder.interval_sums import Total

_LOSSES = {
    "policy_loss": ("losses/policy", 1.0),
    "value_loss": ("losses/value", 1.0),
    "entropy": ("losses/entropy", -1.0),
}
_DIAGNOSTICS = {"approx_kl", "old_approx_kl", "clip_fraction", "explained_variance"}

Tags = list[tuple[str, float]]
"""The tags of one scalar, each with the sign that it has there."""


@lru_cache(maxsize=1024)
def tags(name: str) -> Tags:
    """The tags of a scalar that ``training_step`` returns.

    Example:
        >>> tags("entropy")
        [('train/entropy', 1.0), ('losses/entropy', -1.0)]
    """
    if name in _DIAGNOSTICS:
        return [(f"diagnostics/{name}", 1.0)]
    named = [(f"train/{name}", 1.0)]
    return [*named, _LOSSES[name]] if name in _LOSSES else named


def with_tags(returned: Mapping[str, Total], logged: Mapping[str, Total]) -> Iterator[tuple[Tags, Total]]:
    """The tags of each scalar, with its total.

    Args:
        returned: what the steps returned, by name.
        logged: what they logged with ``self.log``, by tag; a tag that ``returned`` has as well is left out.
    """
    yield from ((tags(name), total) for name, total in returned.items())
    known = tags_of(returned)
    yield from (([(tag, 1.0)], total) for tag, total in logged.items() if tag not in known)


def means(parts: Sequence[Mapping[str, Total]]) -> dict[str, float]:
    """The means of ``with_tags``, by tag; a scalar without a finite value has none."""
    totals = [(named, total / count) for named, (total, count, _) in with_tags(*parts) if count]
    return {tag: sign * mean for named, mean in totals for tag, sign in named}


def tags_of(names: Iterator[str] | Mapping[str, Total] | set[str]) -> set[str]:
    """Every tag of scalars with these names."""
    return {tag for name in names for tag, _ in tags(name)}
