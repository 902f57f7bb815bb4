"""Advantages: made right, and used right."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.policy_update import KL
from puffer_callbacks.health.rules.rewards import GAMMA
from puffer_callbacks.health.rules.symptoms import LEARNING, POLICY, SYMPTOMS
from puffer_callbacks.health.series import median

FIT, SIGN = "diagnostics/advantage_fit", "diagnostics/advantage_sign"
TARGET_ADVANTAGE, TARGET_VALUE = "diagnostics/target_advantage_weight", "diagnostics/target_value_weight"
ALIGNMENT = "diagnostics/advantage_alignment"
_SAME_GAMMA = 2e-3
"""Within which two discount factors are one: estimates are exact to 1e-4."""
_SAME_WEIGHT = 0.05
CHANGE = "diagnostics/log_prob_change"
_LEAST_KL = 1e-6
"""Nats by which an update has to move the policy; without a ratio, as in A2C, log-probabilities by as much."""
_UNRELATED = 10
"""Updates below which a correlation about 0 is no news."""
_UNCERTAIN = 0.125
"""The error of the mean from which it may be that of a sound run: rollouts of a few steps, as A2C's, swing so far."""
GAE = "Schulman et al. 2016, arXiv:1506.02438, equation 16"


@rule("advantages_inconsistent", severity="critical", source=GAE, explains=SYMPTOMS)
def advantages_inconsistent(evidence: Evidence) -> Verdict | None:
    """Whether advantages satisfy the recurrence that rewards and values give."""
    fit = evidence.get(FIT, points=3)
    spell = fit.spell(fit.values < 0.9, points=3, share=0.5)
    if spell is None:
        return None
    share = median(fit.values)
    message = f"Advantages do not follow from rewards and values: the recurrence explains {share:.0%} of their variance"
    causes, returns = ("advantage_misaligned", "advantage_sign"), evidence.returns
    if returns is not None and returns.rose_by_far:
        message = f"{message}; the return rises by far, so they may be those of another estimator."
        return Verdict(message, causes, spell.span, [FIT], "info")
    return Verdict(f"{message}.", causes, spell.span, [FIT])


@rule("advantage_sign", severity="critical", source=GAE, explains=SYMPTOMS)
def advantage_sign(evidence: Evidence) -> Verdict | None:
    """Whether advantages fall as values rise."""
    sign = evidence.get(SIGN, points=3)
    spell = sign.spell(sign.values < 0, points=3, share=0.5)
    if spell is None:
        return None
    message = "Advantages have the wrong sign: they rise with the value estimate, where they are return − value."
    return Verdict(message, ("advantage_sign",), spell.span, [SIGN, FIT])


@rule("gamma_not_applied", severity="warning", source=GAE, explains=(*SYMPTOMS, "gamma_low"))
def gamma_not_applied(evidence: Evidence) -> Verdict | None:
    """Whether advantages are made with the discount factor that is configured."""
    estimated, configured = evidence.get(GAMMA, points=3), evidence.facts.gamma
    if configured is None:
        raise NotJudged("needs the configured gamma")
    found = median(estimated.values)
    apart = abs(found - configured)
    if apart < _SAME_GAMMA or np.mean(np.abs(estimated.values - found) < 0.1 * apart) < 0.9:
        return None
    message = f"Advantages are made with the discount factor {found:.4g}, where {configured:.4g} is configured."
    if abs(found) < _SAME_GAMMA:
        return Verdict(message, ("done_mask_inverted", "gamma_other"), estimated.span, [GAMMA], "critical")
    return Verdict(message, ("gamma_other",), estimated.span, [GAMMA])


@rule("value_targets", severity="critical", source=GAE, explains=(*SYMPTOMS, "weights_unchanged"))
def value_targets(evidence: Evidence) -> Verdict | None:
    """Whether the critic's targets are advantages plus values."""
    of_advantages, of_values = evidence.get(TARGET_ADVANTAGE, points=3), evidence.get(TARGET_VALUE, points=3)
    weights = np.stack([of_advantages.values, of_values.at(of_advantages.steps)])
    spell = of_advantages.spell(np.abs(weights - 1).max(0) > _SAME_WEIGHT, points=3, share=0.5)
    if spell is None:
        return None
    advantage, value = median(weights[0]), median(weights[1])
    if abs(value) < _SAME_WEIGHT:
        what, cause = "are the advantages, without the values that these are measured from", "target_without_value"
    elif abs(advantage) < _SAME_WEIGHT:
        what, cause = "are its own values, so that there is nothing to learn", "target_without_advantage"
    else:
        what, cause = (
            f"are {advantage:+.2g} advantage {value:+.2g} value; both should count alike",
            "target_without_value",
        )
    return Verdict(f"The critic's targets {what}.", (cause,), spell.span, [TARGET_ADVANTAGE, TARGET_VALUE])


@rule(
    "advantage_unused",
    severity="critical",
    source="policy gradient theorem (Sutton et al. 2000): log-probabilities move with the advantages",
    explains=(*LEARNING, *POLICY, "critic_misfit"),
)
def advantage_unused(evidence: Evidence) -> Verdict | None:
    """Whether an update raises the probability of the actions with a high advantage, and not of others."""
    alignment, returns = evidence.get(ALIGNMENT, points=6), evidence.returns
    if not _policy_moves(evidence):
        raise NotJudged("needs a policy that moves")
    mean = float(alignment.values.mean())
    error = float(alignment.values.std(ddof=1) / np.sqrt(len(alignment.values)))
    typical = median(np.abs(alignment.values))
    tags = [ALIGNMENT, KL, CHANGE]
    if mean < -3 * error and np.mean(alignment.values < 0) > 0.8:
        message = f"Updates make good actions rarer: log-probabilities move against the advantages ({mean:+.2f})."
        return Verdict(message, ("advantage_sign", "advantage_misaligned"), alignment.span, tags)
    is_known = len(alignment.values) >= _UNRELATED and error < _UNCERTAIN
    if not is_known or (returns is not None and returns.rose_by_far):
        return None
    if typical > 0.05 and abs(mean) < max(0.25 * typical, 2 * error) and np.mean(alignment.values > 0) < 0.7:
        message = f"Updates move the policy without regard to the advantages (correlation {mean:+.2f})."
        return Verdict(message, ("advantage_misaligned", "entropy_coefficient_high", "log_prob_wrong_action"),
                       alignment.span, tags, "warning")  # fmt: skip
    return None


def _policy_moves(evidence: Evidence) -> bool:
    kl, change = evidence.find(KL), evidence.find(CHANGE)
    if kl is not None:
        return median(kl.values) >= _LEAST_KL
    return change is not None and median(change.values) ** 2 / 2 >= _LEAST_KL
