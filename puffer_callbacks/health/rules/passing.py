"""NaN and infinite values that pass: a step that a loss scaler skipped, a metric without a value."""

import numpy as np
import numpy.typing as npt

from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.series import Series

COUNT = "nonfinite/"
"""What the tags of counts of such values begin with."""
_TRAINING = ("train/loss", "gradient_norm/total", "diagnostics/weight_norm/")
"""What an update with NaN spoils from then on."""
_POINTS = 3
_MOST = 0.1

Flags = npt.NDArray[np.bool_]


def is_nonfinite(tag: str, series: Series) -> Flags:
    """Of each point of a series, or of a count of such values."""
    flags: Flags = series.values > 0 if tag.startswith(COUNT) else ~np.isfinite(series.values)
    return flags


def training_goes_on(evidence: Evidence, step: int) -> bool:
    """Whether loss, gradient and weights are finite again after a step, and mostly were since.

    A loss scaler skips an update whose gradient overflows (Micikevicius et al. 2018, arXiv:1710.03740); an update with
    NaN that is not skipped leaves nothing finite.
    """
    since = _since(evidence, step)
    known = any(len(flags) > _POINTS for flags in since)
    return known and not any(flags[-_POINTS:].any() or flags.mean() > _MOST for flags in since)


def ends_training(evidence: Evidence, step: int) -> bool:
    """Whether loss, gradient or weights are no longer finite within a few points of a step."""
    return any(flags[:_POINTS].any() for flags in _since(evidence, step))


def _since(evidence: Evidence, step: int) -> list[Flags]:
    """Of loss, gradient and weights, whether each point from a step on is not finite."""
    found = [_points(evidence, tag, step) for tag in evidence.raw if tag.startswith(_TRAINING)]
    return [flags for flags in found if len(flags)]


def _points(evidence: Evidence, tag: str, step: int) -> Flags:
    series, counts = evidence.raw[tag].after(step), evidence.raw.get(f"{COUNT}{tag}")
    flags = is_nonfinite(tag, series)
    if counts is None:
        return flags
    grown = counts.steps[np.diff(counts.values, prepend=0) > 0]
    flags |= np.isin(series.steps, grown)
    unseen = np.setdiff1d(grown[grown >= step], series.steps)  # a row that has no mean
    order = np.argsort(np.concatenate([series.steps, unseen]), kind="stable")
    joined: Flags = np.concatenate([flags, np.ones(len(unseen), np.bool_)])[order]
    return joined
