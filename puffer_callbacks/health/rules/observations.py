"""Observations: constant, late, out of scale, without influence."""

import numpy as np

from puffer_callbacks.health.evidence import LOOKS, Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.policy_update import KL
from puffer_callbacks.health.rules.symptoms import LEARNING, SYMPTOMS
from puffer_callbacks.health.series import median

CONSTANT, DELAY = "diagnostics/observation_constant_fraction", "diagnostics/reset_delay_fraction"
RESET_STEPS, EARLY = "diagnostics/reset_step_fraction", "diagnostics/reset_early_fraction"
REPEATED = "diagnostics/observation_repeat_fraction"
_FAR_TOO_LARGE = 3000.0
"""Where no second signal is needed: bytes of pixels and most sensors lie far below."""
_CONSTANT = ("observation_constant", "observation_stale")
SCALE, SPREAD = "diagnostics/observation_scale", "diagnostics/log_prob_spread"


@rule("observation_constant", severity="critical", source="invariant: observations vary", explains=SYMPTOMS)
def observation_constant(evidence: Evidence) -> Verdict | None:
    """Observations of which no number varies; or hardly ever one within an episode, while the return does not rise."""
    constant, returns = evidence.get(CONSTANT, points=3), evidence.returns
    spell = constant.spell(constant.values == 1, points=3, share=0.2)
    if spell is None:
        return None if returns is not None and returns.improved else _hardly_changes(evidence)
    message = "The observation is the same at every step"
    if returns is not None and returns.rose_by_far:
        message = f"{message}, as a bandit's; the return rises by far."
        return Verdict(message, _CONSTANT, spell.span, [CONSTANT], "info")
    return Verdict(f"{message}.", _CONSTANT, spell.span, [CONSTANT, REPEATED])


def _hardly_changes(evidence: Evidence) -> Verdict | None:
    repeated, dones = evidence.find(REPEATED), evidence.find("diagnostics/done_fraction")
    if repeated is None:
        return None
    at_ends = 0.0 if dones is None else dones.at(repeated.steps)  # where it changes, and changes back
    hardly = (repeated.values > 0.85) | (repeated.values > np.maximum(1 - 2.5 * at_ends, 0.6))
    spell = repeated.spell(hardly, points=3, share=0.5)
    message = "The observation hardly ever changes within an episode, and the return does not rise."
    return None if spell is None else Verdict(message, _CONSTANT, spell.span, [CONSTANT, REPEATED])


@rule(
    "observation_late",
    severity="critical",
    source="invariant: after an episode's end comes the first observation of the next",
    explains=(*SYMPTOMS, "ratio_not_one", "done_mask", "advantages_inconsistent"),
)
def observation_late(evidence: Evidence) -> Verdict | None:
    """Observations that jump one step after an episode's end instead of at once."""
    delay = evidence.get(DELAY, points=2)
    if median(delay.values) < 0.6:
        return None
    message = "Observations are a step late: after an episode's end the new episode begins one observation too late."
    return Verdict(message, ("observation_stale",), delay.span, [DELAY])


@rule(
    "reset_steps_stored",
    severity="info",
    source="Gymnasium 1.1, AutoresetMode.NEXT_STEP: the step after an end resets, and its action is ignored",
)
def reset_steps_stored(evidence: Evidence) -> Verdict | None:
    """Steps of next-step autoreset among those that are learned from."""
    resets = evidence.get(RESET_STEPS, points=2)
    if median(resets.values) < 0.6:
        return None
    message = "After each episode's end one step does nothing but reset: its action is ignored and its reward is 0."
    return Verdict(message, ("reset_steps_stored",), resets.span, [RESET_STEPS])


@rule(
    "observation_scale",
    severity="warning",
    source="Andrychowicz et al. 2021, arXiv:2006.05990, section 3.3 (observation normalization)",
    explains=(*SYMPTOMS, "initialization_saturates", "reward_scale_large"),
    threshold=100.0,
)
def observation_scale(evidence: Evidence, threshold: float) -> Verdict | None:
    """Observations above ``threshold`` that are not normalized, where units saturate or the return does not rise."""
    scale, facts = evidence.get(SCALE, points=3), evidence.facts
    if facts.normalizes_observations or median(scale.values) < threshold:
        return None
    returns = evidence.returns
    saturated = evidence.matching("plasticity/saturated_ratio/").values()
    suffers = any(median(s.values) > 0.5 for s in saturated) or (returns is not None and not returns.healthy)
    if not suffers and (facts.has_embedding or median(scale.values) < _FAR_TOO_LARGE):
        return None
    message = f"Observations are as large as {median(scale.values):.3g}; networks expect a scale of about 1."
    return Verdict(message, ("observation_scale",), scale.span, [SCALE])


@rule(
    "policy_blind",
    severity="warning",
    source="invariant: a policy that learns comes to depend on its observations",
    explains=(*LEARNING, "entropy_high", "entropy_collapsed", "entropy_grows", "gradient_vanishes"),
)
def policy_blind(evidence: Evidence) -> Verdict | None:
    """A policy that gives an action the same probability at every observation, though it moves."""
    spread = evidence.judged(SPREAD, points=LOOKS)
    kl, dominant = evidence.find(KL), evidence.median("diagnostics/dominant_action_fraction", after=evidence.burn_in)
    if kl is None or median(kl.values) <= 0:
        raise NotJudged("needs a policy that moves")
    if evidence.median(CONSTANT) == 1 and evidence.returns is not None and evidence.returns.rose_by_far:
        raise NotJudged("needs observations that vary, unlike a bandit's")
    spell = spread.spell(spread.values < 1e-5, points=LOOKS, share=0.5)
    if spell is None or (dominant is not None and dominant > 0.999):
        return None
    message = "The policy does not depend on the observation: an action has the same probability everywhere."
    causes = ("observation_ignored", "dead_units", "observation_constant")
    return Verdict(message, causes, spell.span, [SPREAD, KL])
