"""Exploration: whether actions are drawn; epsilon and temperature of off-policy algorithms."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.rewards import SCALE
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.rules.targets import ADVANTAGES
from puffer_callbacks.health.series import median

EPSILONS = ("rollout/exploration_rate", "train/exploration_rate", "train/epsilon")
TEMPERATURES = ("train/ent_coef", "train/alpha", "train/temperature")
BIAS = "diagnostics/sampling_bias"
_OTHERS_TOO = TEMPERATURES[1:]
"""Names that a prioritized replay and the sampling of a language model have for numbers of their own."""
_MANY, _LEAST_BIAS = 3, 0.05
_LEARNED = 1.0
"""Where a temperature that is learned begins."""


@rule(
    "actions_not_sampled",
    severity="critical",
    source="invariant: the mean log-probability of actions that are drawn is minus the entropy",
    explains=SYMPTOMS,
)
def actions_not_sampled(evidence: Evidence) -> Verdict | None:
    """Actions that are likelier, or less likely, than draws from the policy are."""
    bias, returns = evidence.get(BIAS, points=_MANY), evidence.returns
    average = median(bias.values)
    spell = bias.spell(bias.values * np.sign(average) > _LEAST_BIAS, points=_MANY, share=0.3)
    if spell is None:
        return None
    than = "likelier" if average > 0 else "less likely"
    message = f"The actions taken are {than} than draws from the policy: their mean log-probability is not −entropy."
    causes = ("not_sampled", "log_prob_wrong_action", "exploration_missing")
    if average < 0:
        causes = ("log_prob_wrong_action", "sampler_drift", "not_sampled")
    is_known = returns is not None and returns.rose_by_far
    return Verdict(message, causes, spell.span, [BIAS, "train/entropy"], "info" if is_known else None)


@rule(
    "exploration_stays",
    severity="warning",
    source="Mnih et al. 2015 (annealed epsilon)",
    explains=SYMPTOMS,
    threshold=0.5,
)
def exploration_stays(evidence: Evidence, threshold: float) -> Verdict | None:
    """An exploration rate above ``threshold`` in the second half of the run."""
    tag = next((tag for tag in EPSILONS if tag in evidence.raw), EPSILONS[0])
    rate = evidence.get(tag, points=4)
    late = rate.after(0.5 * evidence.total_steps).values
    if rate.values.max() > 1:  # such as the budget of differential privacy
        raise NotJudged("needs a share of random actions, 1 at most")
    if len(late) < 2:
        raise NotJudged("needs the second half of the run")
    falls = rate.values[-1] < rate.values[0]
    if median(late) <= threshold or (falls and evidence.facts.total_steps is None):
        return None
    message = f"The exploration rate is still {late[-1]:.2f}: actions are mostly random."
    return Verdict(message, ("epsilon_stays",), rate.span, [tag])


@rule(
    "temperature_high",
    severity="warning",
    source="Haarnoja et al. 2018, arXiv:1812.05905, section 5 (the temperature weighs entropy against reward)",
    explains=SYMPTOMS,
)
def temperature_high(evidence: Evidence) -> Verdict | None:
    """A temperature that makes a nat of entropy worth more than the rewards, while the return does not rise."""
    tag = next((tag for tag in TEMPERATURES if tag in evidence.raw), TEMPERATURES[0])
    temperature, returns, reward = evidence.get(tag, points=5), evidence.returns, evidence.median(SCALE)
    if returns is None:
        raise NotJudged("needs train/reward")
    if tag in _OTHERS_TOO and (evidence.find(ADVANTAGES) or any(each in evidence.raw for each in EPSILONS)):
        raise NotJudged(f"needs an algorithm whose {tag} weighs the entropy")
    late = median(temperature.values[-max(3, len(temperature.values) // 4) :])
    if reward is None and late > _LEARNED:  # single episodes may have few rewards and far larger ones
        reward = _reward_of_a_step(evidence)
    if reward is None:
        raise NotJudged("needs the scale of the rewards")
    if temperature.values[-1] < temperature.values[0]:  # one that is learned begins at 1, and is on its way
        evidence.require_share(0.5, temperature)
    if late * (evidence.facts.action_dimensions or 1) < max(reward, 1e-12) or returns.healthy:
        return None
    message = (
        f"The temperature is {late:.3g}, so that a nat of entropy counts more than rewards of {reward:.3g} a step."
    )
    return Verdict(message, ("temperature_high", "reward_scale_large"), temperature.span, [tag, SCALE])


def _reward_of_a_step(evidence: Evidence) -> float | None:
    """The mean size of what a step adds to the return, of a loop that logs episodes alone."""
    returns, lengths = evidence.find("train/reward"), evidence.find("train/episode_length")
    if returns is None or lengths is None or not lengths.values.any():
        return None
    return float(np.abs(returns.values).mean() / lengths.values.mean())
