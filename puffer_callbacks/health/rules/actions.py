"""Actions: at their bounds, or always the same."""

import numpy as np

from puffer_callbacks.health.evidence import LOOKS, Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import LEARNING, NETWORK, POLICY
from puffer_callbacks.health.series import persistent_spell

SATURATED, DOMINANT = "diagnostics/saturated_action_fraction", "diagnostics/dominant_action_fraction"


@rule(
    "actions_saturated",
    severity="warning",
    source="Fujimoto et al. 2018, arXiv:1802.09477",
    explains=(*LEARNING, *POLICY, *NETWORK, "critic_misfit", "weights_unchanged"),
    threshold=0.9,
)
def actions_saturated(evidence: Evidence, threshold: float) -> Verdict | None:
    """Continuous actions at their bounds at more than ``threshold`` of all steps, while the return does not rise."""
    saturated, returns = evidence.judged(SATURATED, points=LOOKS), evidence.returns
    if returns is None:
        raise NotJudged("needs 8 points of train/reward")
    spell = persistent_spell(saturated.smoothed().values > threshold, points=LOOKS, share=0.3)
    if spell is None or returns.healthy:
        return None
    series = evidence.get(SATURATED)
    at_once = bool(np.median(series.values[:3]) > threshold)
    begin = int(series.steps[0]) if at_once else int(saturated.steps[spell.first])
    end = int(saturated.steps[spell.last])
    message = f"{saturated.values[spell.last]:.0%} of the actions lie at their bounds, and the return does not rise."
    causes = ("action_saturated", "entropy_coefficient_high") if at_once else (
        "entropy_coefficient_high", "learning_rate_high", "action_saturated")  # fmt: skip
    return Verdict(message, causes, begin, end, evidence.numbers([SATURATED], end))


@rule(
    "action_dominates",
    severity="warning",
    source="Ahmed et al. 2019, arXiv:1811.11214",
    explains=(*LEARNING, *POLICY, *NETWORK, "critic_misfit", "weights_unchanged"),
    threshold=0.99,
)
def action_dominates(evidence: Evidence, threshold: float) -> Verdict | None:
    """One discrete action at more than ``threshold`` of all steps, while the return does not rise."""
    dominant, returns = evidence.judged(DOMINANT, points=LOOKS), evidence.returns
    if returns is None:
        raise NotJudged("needs 8 points of train/reward")
    spell = persistent_spell(dominant.smoothed().values > threshold, points=LOOKS)
    if spell is None or returns.healthy:
        return None
    series = evidence.get(DOMINANT)
    at_once = bool(np.median(series.values[:3]) > threshold)
    begin = int(series.steps[0]) if at_once else int(dominant.steps[spell.first])
    end = int(dominant.steps[spell.last])
    message = f"One action is taken at {dominant.values[spell.last]:.1%} of all steps, and the return does not rise."
    causes = ("action_saturated", "action_dominates") if at_once else (
        "entropy_sign", "advantage_sign", "learning_rate_high", "entropy_coefficient_low")  # fmt: skip
    return Verdict(message, causes, begin, end, evidence.numbers([DOMINANT, "train/entropy"], end))
