"""Actions: at their bounds, or always the same."""

from puffer_callbacks.health.evidence import LOOKS, Evidence
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import LEARNING, NETWORK, POLICY
from puffer_callbacks.health.series import Series, median

SATURATED, DOMINANT = "diagnostics/saturated_action_fraction", "diagnostics/dominant_action_fraction"
OF_POLICIES = ("train/entropy", "train/policy_loss", "losses/policy", "diagnostics/approx_kl")
"""Of which any shows that actions are drawn from a policy that is learned."""


@rule(
    "actions_saturated",
    severity="warning",
    source="Fujimoto et al. 2018, arXiv:1802.09477",
    explains=(*LEARNING, *POLICY, *NETWORK, "critic_misfit", "weights_unchanged"),
    threshold=0.9,
)
def actions_saturated(evidence: Evidence, threshold: float) -> Verdict | None:
    """Continuous actions at their bounds at more than ``threshold`` of all steps, while the return does not rise."""
    spell, at_once = _spell(evidence, SATURATED, threshold, share=0.3)
    if spell is None or evidence.returns_since_beginning.healthy:
        return None
    message = f"{spell.values[-1]:.0%} of the actions lie at their bounds, and the return does not rise."
    causes = ("action_saturated", "entropy_coefficient_high") if at_once else (
        "entropy_coefficient_high", "learning_rate_high", "action_saturated")  # fmt: skip
    seen_at = _seen_at(evidence, SATURATED, spell, threshold)
    return Verdict(message, causes, spell.span, [SATURATED], seen_at=seen_at)


@rule(
    "action_dominates",
    severity="warning",
    source="Ahmed et al. 2019, arXiv:1811.11214",
    explains=(*LEARNING, *POLICY, *NETWORK, "critic_misfit", "weights_unchanged"),
    threshold=0.99,
)
def action_dominates(evidence: Evidence, threshold: float) -> Verdict | None:
    """One discrete action at more than ``threshold`` of all steps, while the return does not rise."""
    spell, at_once = _spell(evidence, DOMINANT, threshold)
    if spell is None or evidence.returns_since_beginning.healthy:
        return None
    message = f"One action is taken at {100 * spell.values[-1]:.3g}% of all steps, and the return does not rise."
    causes: tuple[str, ...] = ("action_saturated", "action_dominates")
    if not at_once:
        causes = ("entropy_sign", "advantage_sign", "learning_rate_high", "entropy_coefficient_low")
    if not any(evidence.find(tag) for tag in OF_POLICIES):  # it acts by values, as DQN
        causes = ("learning_rate_high", "exploration_missing", "action_dominates")
    seen_at = _seen_at(evidence, DOMINANT, spell, threshold)
    return Verdict(message, causes, spell.span, [DOMINANT, "train/entropy"], seen_at=seen_at)


def _spell(evidence: Evidence, tag: str, threshold: float, *, share: float = 0.0) -> tuple[Series | None, bool]:
    """The spell in which the median of five looks is above a threshold until now, and whether the run began in it."""
    series, judged = evidence.get(tag), evidence.judged(tag, points=LOOKS)
    at_once = bool(median(series.values[:3]) > threshold)
    smoothed = judged.smoothed()
    spell = smoothed.ending(smoothed.values > threshold)
    if len(spell.values) < LOOKS or (share and not evidence.lasts(spell, share)):
        return None, at_once
    if not at_once:
        return spell, at_once
    return series.smoothed().between(series.steps[0], spell.steps[-1]), at_once


def _seen_at(evidence: Evidence, tag: str, spell: Series, threshold: float) -> int:
    """The last step of a spell at which the number itself, that varies about the median, is above the threshold."""
    points = evidence.get(tag).between(*spell.span)
    return int(points.steps[points.values > threshold][-1])
