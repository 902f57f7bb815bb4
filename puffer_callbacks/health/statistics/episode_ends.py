"""What advantages take over the ends of episodes: nothing, in a correct program."""

import numpy as np
import numpy.typing as npt

from puffer_callbacks.health.series import Floats
from puffer_callbacks.health.statistics.least_squares import LinearFit

_MIN_ENDS = 3
_RESTS = 20.0
"""Times the rest of the fit within which two numbers are the same."""
_VISIBLE = 20.0
"""Times that, from which on a number is another than 0."""
_FLOAT32 = 1e-5
Flags = npt.NDArray[np.bool_]


def end_statistics(
    columns: Floats, advantages: Floats, dones: Flags, *, rows: Floats, fit: LinearFit
) -> dict[str, float]:
    """Which terms of the recurrence an advantage has at the last step of an episode.

    The recurrence is fitted to the other steps, so that the terms of A_t are known: r_t − V_t alone at an end; with
    γ V_{t+1}, γλ A_{t+1} or both where a mask is missing. A value of the observation that a time limit has cut off is
    none of these.

    Args:
        columns: [T - 1, M, 4], A_{t+1}, V_{t+1}, V_t and r_t.
        advantages: [T - 1, M], A_t.
        dones: [T, M].
        rows: [n, 4], the columns that the recurrence is known from.
        fit: the recurrence.

    Returns:
        ``diagnostics/leak_fraction``, the share of ends over which the next advantage is carried;
        ``diagnostics/bootstrap_leak_fraction``, the share of those over which the next value is, and no advantage;
        ``diagnostics/plain_end_fraction``, the share at which there is neither; and ``diagnostics/mask_shift``, −1
        where advantages end a step before episodes do, 1 where they end a step after, 0 in a correct program;
        ``diagnostics/unrewarded_end_fraction``, the share of ends with a reward of exactly 0, as steps that only reset
        have. Nothing with fewer than three ends.
    """
    ends = dones[:-1]
    if ends.sum() < _MIN_ENDS:
        return {}
    beside = ends.copy()
    beside[1:] |= ends[:-1]
    beside[:-1] |= ends[1:]
    leaks, values, plain, hides = _carried(columns[beside], advantages[beside], rows=rows, fit=fit)
    at_ends = ends[beside]
    runs_on, is_cut = np.zeros_like(ends), np.zeros_like(ends)
    runs_on[beside], is_cut[beside] = leaks, plain & ~hides
    return {
        "diagnostics/leak_fraction": float(leaks[at_ends].mean()),
        "diagnostics/bootstrap_leak_fraction": float(values[at_ends].mean()),
        "diagnostics/plain_end_fraction": float(plain[at_ends].mean()),
        "diagnostics/mask_shift": _shift(runs_on, is_cut, ends),
        "diagnostics/unrewarded_end_fraction": float((columns[ends][:, 3] == 0).mean()),
    }


def _carried(columns: Floats, advantages: Floats, *, rows: Floats, fit: LinearFit) -> tuple[Flags, Flags, Flags, Flags]:
    """Of each of n steps, whether the next advantage is carried; the next value alone; nothing; and what would hide.

    Of advantages less their mean m the recurrence's constant is m (γλ − 1), and −m where no advantage is carried.
    """
    coefficients, constant = _of_rewards(rows, fit)
    of_advantage, of_value = (columns[:, at] * coefficients[at] for at in (0, 1))
    beyond = advantages - columns[:, 2:] @ coefficients[2:] - constant
    near = _RESTS * max(fit.rest, _FLOAT32 * float((np.abs(columns) @ np.abs(coefficients)).mean()))
    centered = constant * coefficients[0] / max(1 - coefficients[0], 1e-6)

    def is_near(rest: Floats) -> Flags:
        return np.asarray((np.abs(rest) < near) | (np.abs(rest - centered) < near))

    hides, hides_value, hides_advantage = (
        np.abs(each) < _VISIBLE * near for each in (of_advantage + of_value, of_value, of_advantage)
    )
    value = is_near(beyond - of_value) & ~hides_value
    both = (np.abs(beyond - of_advantage - of_value) < near) & ~hides
    alone = (np.abs(beyond - of_advantage) < near) & ~hides_advantage
    leaks = (both | alone) & ~value
    return leaks, value & ~leaks, is_near(beyond), hides


def _shift(runs_on: Flags, is_cut: Flags, ends: Flags) -> float:
    """How many steps after the ends, on average, advantages are cut that run on over the ends themselves."""
    chosen = ends[1:-1] & runs_on[1:-1] & ~ends[:-2] & ~ends[2:]
    return float((is_cut[2:].astype(float) - is_cut[:-2])[chosen].mean()) if chosen.any() else 0.0


def _of_rewards(rows: Floats, fit: LinearFit) -> tuple[Floats, float]:
    """The recurrence; where rewards never varied, a reward counts as much as −V_t does."""
    coefficients, constant = fit.coefficients, fit.constant
    if coefficients[3] == 0:
        coefficients = coefficients.copy()
        coefficients[3] = -coefficients[2]
        constant -= coefficients[3] * rows[0, 3]
    return coefficients, constant
