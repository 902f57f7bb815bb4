"""Series under the tags that the rules read, whatever a module or another library calls them."""

from puffer_callbacks.health.series import Series
from puffer_callbacks.values.self_logged import SELF_LOGGED
from puffer_callbacks.values.vocabulary import LOSSES


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
