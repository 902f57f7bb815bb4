"""Rewards and the discount."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.finding import Severity
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import LEARNING, SYMPTOMS
from puffer_callbacks.health.series import median

NONZERO, GAMMA = "diagnostics/nonzero_reward_fraction", "diagnostics/estimated_gamma"
RETURN, SCALE = "train/reward", "diagnostics/reward_scale"


@rule(
    "reward_zero", severity="critical", source="invariant: without rewards there is nothing to learn", explains=SYMPTOMS
)
def reward_zero(evidence: Evidence) -> Verdict | None:
    """Rewards of 0 at every step: a note at first, as some come late; or from some step on."""
    fractions, returns = evidence.find(NONZERO), evidence.find(RETURN)
    if fractions is None or len(fractions.values) < 5:
        fractions = returns = evidence.get(RETURN, points=8)
    if fractions.values[-1] != 0:
        return None
    if fractions.values.any():
        return _from_some_step_on(evidence)
    message, causes, tags = "Every reward so far is 0.", ("reward_missing", "exploration_missing"), [NONZERO, RETURN]
    if returns is None or not returns.values.any():
        return Verdict(message, causes, fractions.span, tags, _severity(evidence))
    if np.mean(returns.values != 0) < 0.5:  # rare ones, that came between two looks
        return None
    message = "Every reward that is learned from is 0, though episodes have returns."
    return Verdict(message, ("reward_missing",), fractions.span, tags)


def _from_some_step_on(evidence: Evidence) -> Verdict | None:
    """Returns that were above 0, and have been exactly 0 for a fifth of the run."""
    returns = evidence.get(RETURN, points=8)
    zero = returns.ending(returns.values == 0)
    before = returns.values[: -len(zero.values)] if len(zero.values) else returns.values
    if len(zero.values) < 8 or not evidence.lasts(zero, 0.2) or median(before) <= 0:
        return None
    message = f"Every reward from step {zero.steps[0]} on is 0, where episodes had returns of {median(before):.3g}."
    return Verdict(message, ("reward_missing", "learning_rate_high"), zero.span, [NONZERO, RETURN], "warning")


def _severity(evidence: Evidence) -> Severity:
    """Rewards that are rare may come at any time."""
    if evidence.is_late:
        return "critical"
    is_halfway = evidence.length is not None and evidence.last_step >= 0.5 * evidence.length
    return "warning" if is_halfway else "info"


@rule(
    "gamma_low",
    severity="warning",
    source="effective horizon 1 / (1 − γ); Andrychowicz et al. 2021, arXiv:2006.05990, section 3.4",
    explains=(*LEARNING, "advantage_unused", "critic_misfit", "entropy_high", "entropy_collapsed"),
    threshold=5.0,
)
def gamma_low(evidence: Evidence, threshold: float) -> Verdict | None:
    """A discount factor whose horizon, 1 / (1 − γ), is at most ``threshold`` steps of much longer episodes."""
    gamma = evidence.facts.gamma
    if gamma is None:
        estimated = evidence.find(GAMMA)
        gamma = None if estimated is None else median(estimated.values)
    if gamma is None:
        raise NotJudged("needs gamma, or advantages and values of rollouts")
    lengths = evidence.find("train/episode_length")
    length = None if lengths is None else median(lengths.values)
    horizon = 1 / max(1 - gamma, 1e-9)
    if horizon > threshold or gamma <= 0 or (length is not None and length < 4 * horizon):
        return None
    returns = evidence.returns
    of_length = "" if length is None else f", in episodes of {length:.0f}"
    message = f"The discount factor {gamma:.3g} looks about {horizon:.1f} steps ahead{of_length}."
    severity: Severity = (
        "info" if returns is not None and returns.healthy and returns.late >= 0.9 * returns.best else "warning"
    )
    tags = [GAMMA, "train/episode_length", "train/reward"]
    return Verdict(message, ("gamma_low",), evidence.span, tags, severity)
