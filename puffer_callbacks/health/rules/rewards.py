"""Rewards and the discount."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.finding import Severity
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import LEARNING, SYMPTOMS
from puffer_callbacks.health.series import median

NONZERO, GAMMA = "diagnostics/nonzero_reward_fraction", "diagnostics/estimated_gamma"


@rule(
    "reward_zero", severity="critical", source="invariant: without rewards there is nothing to learn", explains=SYMPTOMS
)
def reward_zero(evidence: Evidence) -> Verdict | None:
    """Rewards that are 0 at every step of the run."""
    nonzero = evidence.find(NONZERO)
    if nonzero is None or len(nonzero.values) < 5:
        reward = evidence.get("train/reward", points=8)
        if not (reward.values == 0).all():
            return None
        nonzero = reward
    elif np.mean(nonzero.values == 0) < 0.9:
        return None
    message = "Every reward so far is 0."
    return Verdict(message, ("reward_missing", "exploration_missing"), nonzero.span,
                   [NONZERO, "train/reward"])  # fmt: skip


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
    of_length = "" if length is None else f", of episodes of {length:.0f}"
    message = f"The discount factor {gamma:.3g} looks about {horizon:.1f} steps ahead{of_length}."
    severity: Severity = (
        "info" if returns is not None and returns.healthy and returns.late >= 0.9 * returns.best else "warning"
    )
    tags = [GAMMA, "train/episode_length", "train/reward"]
    return Verdict(message, ("gamma_low",), evidence.span, tags, severity)
