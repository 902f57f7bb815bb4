"""The loss: the weights of its terms, recovered from what is logged, against those configured."""

from typing import NamedTuple

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.modules import role_of
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.critic import FIT
from puffer_callbacks.health.rules.policy_update import WEIGHT_CHANGE
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.series import Floats, median

LOSS, POLICY, VALUE, ENTROPY = "train/loss", "train/policy_loss", "train/value_loss", "train/entropy"
_POINTS = 6
_FLOAT32 = 3e-7
_REST = 0.02
"""What the terms may leave unexplained, over the entropy's own share: more may be a term that moves with it."""
_EXPLAINED = 0.5
PAIRING = "diagnostics/value_pairing"
_MANY = 4
_UNPAIRED = 1e-2
"""A weight of the covariance that is 0: float32 leaves 1e-4."""


class Composition(NamedTuple):
    """loss = policy + value_coefficient · value − entropy_coefficient · entropy; ``None`` where it is unknown."""

    value_coefficient: float | None
    entropy_coefficient: float | None


def composition(evidence: Evidence) -> Composition:
    """The weights of value loss and entropy in the loss, by least squares over the run.

    Raises:
        NotJudged: if a term is not logged, or the terms do not add up (the loss has others).
    """
    loss, policy, value, entropy = (evidence.get(tag, points=_POINTS) for tag in (LOSS, POLICY, VALUE, ENTROPY))
    steps = np.intersect1d(np.intersect1d(loss.steps, policy.steps), np.intersect1d(value.steps, entropy.steps))
    if len(steps) < _POINTS:
        raise NotJudged(f"needs {_POINTS} steps at which all terms of the loss are logged, has {len(steps)}")
    target: Floats = loss.at(steps) - policy.at(steps)
    terms: Floats = np.stack([value.at(steps), entropy.at(steps)], -1)
    weights = 1 / np.maximum(np.abs(loss.at(steps)) + np.abs(policy.at(steps)), 1e-12)  # a loss may span magnitudes
    coefficients, errors, rest = _weighted_least_squares(terms, target, weights)
    if rest > 1e-2:
        raise NotJudged("needs a loss that is the sum of policy loss, value loss and entropy")
    value_coefficient, entropy_coefficient = coefficients[0], -coefficients[1]
    bonus = float(np.sqrt(np.square(entropy_coefficient * terms[:, 1] * weights).mean()))
    is_sharp = errors[1] < max(0.1 * abs(entropy_coefficient), 1e-3) and rest <= max(_REST * bonus, _FLOAT32)
    return Composition(
        value_coefficient if errors[0] < max(0.1 * abs(value_coefficient), 1e-3) else None,
        entropy_coefficient if is_sharp else None,
    )


def _weighted_least_squares(terms: Floats, target: Floats, weights: Floats) -> tuple[list[float], list[float], float]:
    """Coefficients, their standard errors, and the residuals' root mean square in units of the loss."""
    rows, rhs = terms * weights[:, None], target * weights
    scales = np.maximum(np.sqrt(np.square(rows).mean(0)), 1e-30)
    scaled = rows / scales
    solution = np.linalg.lstsq(scaled, rhs, rcond=None)[0]
    rest = float(np.sqrt(np.square(rhs - scaled @ solution).mean()))
    covariance = np.linalg.pinv(scaled.T @ scaled)
    errors = max(rest, _FLOAT32) * np.sqrt(np.diag(covariance)) / scales
    return (solution / scales).tolist(), errors.tolist(), rest


@rule(
    "value_loss_broadcast",
    severity="critical",
    source="invariant: a mean squared error is less than that over all pairs by twice the covariance",
    explains=SYMPTOMS,
)
def value_loss_broadcast(evidence: Evidence) -> Verdict | None:
    """A value loss that is the mean over all pairs of a value and a return, as by broadcasting [N, 1] with [N]."""
    weight = evidence.get(PAIRING, points=_MANY)
    spell = weight.spell(np.abs(weight.values) < _UNPAIRED, points=_MANY, share=0.5)
    if spell is None:
        return None
    message = "The value loss compares every value with every return, not with its own: it is the mean over all pairs."
    return Verdict(message, ("value_loss_broadcast",), spell.span, [PAIRING, VALUE])


@rule(
    "loss_composition",
    severity="critical",
    source="Schulman et al. 2017, arXiv:1707.06347, equation 9",
    explains=(*SYMPTOMS, "weights_unchanged"),
)
def loss_composition(evidence: Evidence) -> Verdict | None:
    """The weights of entropy and value loss that the logged loss has, against those configured."""
    found, facts = composition(evidence), evidence.facts
    span, tags = evidence.get(LOSS).span, [LOSS, POLICY, VALUE, ENTROPY]
    entropy, value = found.entropy_coefficient, found.value_coefficient
    if entropy is not None and entropy < -1e-3:
        message = f"The loss rewards certainty: entropy has the weight {entropy:+.3g}, where a bonus is positive."
        return Verdict(message, ("entropy_sign",), span, tags)
    if value is not None and abs(value) < 1e-3 and facts.value_coefficient != 0:
        if _critic_learns(evidence):
            raise NotJudged("the critic learns by another loss than the one that is logged")
        return Verdict("The value loss has weight 0 in the loss.", ("value_coefficient_zero", "critic_detached"),
                       span, tags)  # fmt: skip
    configured = facts.entropy_coefficient
    if entropy is not None and configured is not None and entropy > max(10 * configured, 0.1):
        message = f"Entropy has the weight {entropy:.3g} in the loss, where {configured:.3g} is configured."
        return Verdict(message, ("entropy_coefficient_high",), span, tags)
    return None


def _critic_learns(evidence: Evidence) -> bool:
    """Whether gradients reach the critic; or, where none are known, whether it changes or fits."""
    for prefix in ("gradient_norm/", WEIGHT_CHANGE):
        parts = [series for name, series in evidence.matching(prefix).items() if role_of(name) == "critic"]
        if parts:
            return any(median(series.values) > 0 for series in parts)
    fit = evidence.median(FIT, after=0.5 * evidence.last_step)
    return fit is not None and fit > _EXPLAINED
