"""Advantages: made right, and used right."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.policy_update import KL
from puffer_callbacks.health.rules.symptoms import LEARNING, POLICY, SYMPTOMS
from puffer_callbacks.health.series import median

FIT, SIGN, LEAK = "diagnostics/advantage_fit", "diagnostics/advantage_sign", "diagnostics/leak_fraction"
ALIGNMENT = "diagnostics/advantage_alignment"
_BY_FAR = 10
"""Times its noise that a return rises only with advantages that are right in the main."""
_GAE = "Schulman et al. 2016, arXiv:1506.02438, equation 16"


@rule("advantages_inconsistent", severity="critical", source=_GAE, explains=SYMPTOMS)
def advantages_inconsistent(evidence: Evidence) -> Verdict | None:
    """Whether advantages satisfy the recurrence that rewards and values give."""
    fit = evidence.get(FIT, points=3)
    spell = fit.spell(fit.values < 0.9, points=3, share=0.5)
    if spell is None:
        return None
    share = median(fit.values)
    message = f"Advantages do not follow from rewards and values: the recurrence explains {share:.0%} of their variance"
    causes, returns = ("advantage_misaligned", "advantage_sign"), evidence.returns
    if returns is not None and returns.healthy and returns.late - returns.early > _BY_FAR * returns.noise:
        message = f"{message}; the return rises by far, so they may be those of another estimator."
        return Verdict(message, causes, spell.span, [FIT], "info")
    return Verdict(f"{message}.", causes, spell.span, [FIT])


@rule("advantage_sign", severity="critical", source=_GAE, explains=SYMPTOMS)
def advantage_sign(evidence: Evidence) -> Verdict | None:
    """Whether advantages fall as values rise."""
    sign = evidence.get(SIGN, points=3)
    spell = sign.spell(sign.values < 0, points=3, share=0.5)
    if spell is None:
        return None
    message = "Advantages have the wrong sign: they rise with the value estimate, where they are return − value."
    return Verdict(message, ("advantage_sign",), spell.span, [SIGN, FIT])


@rule("done_mask", severity="critical", source=_GAE, explains=SYMPTOMS)
def done_mask(evidence: Evidence) -> Verdict | None:
    """Whether advantages flow back over the ends of episodes."""
    leak = evidence.get(LEAK, points=2)
    spell = leak.spell(leak.values > 0.5, points=2, share=0.3)
    if spell is None:
        return None
    message = "Advantages flow back over the ends of episodes, as if the next episode were a part of the last."
    return Verdict(message, ("done_mask_missing",), spell.span, [LEAK])


@rule(
    "advantage_unused",
    severity="critical",
    source="policy gradient theorem (Sutton et al. 2000): log-probabilities move with the advantages",
    explains=(*LEARNING, *POLICY, "critic_misfit"),
)
def advantage_unused(evidence: Evidence) -> Verdict | None:
    """Whether an update raises the probability of the actions with a high advantage, and not of others."""
    alignment = evidence.get(ALIGNMENT, points=10)
    kl = evidence.find(KL)
    if kl is None or median(kl.values) < 1e-6:
        raise NotJudged("needs a policy that moves")
    mean = float(alignment.values.mean())
    error = float(alignment.values.std(ddof=1) / np.sqrt(len(alignment.values)))
    typical = median(np.abs(alignment.values))
    tags = [ALIGNMENT, KL]
    if mean < -3 * error and np.mean(alignment.values < 0) > 0.8:
        message = f"Updates make good actions rarer: log-probabilities move against the advantages ({mean:+.2f})."
        return Verdict(message, ("advantage_sign", "advantage_misaligned"), alignment.span, tags)
    if typical > 0.05 and abs(mean) < max(0.25 * typical, 2 * error) and np.mean(alignment.values > 0) < 0.7:
        message = f"Updates move the policy without regard to the advantages (correlation {mean:+.2f})."
        return Verdict(message, ("advantage_misaligned", "entropy_coefficient_high", "log_prob_wrong_action"),
                       alignment.span, tags, "warning")  # fmt: skip
    return None
