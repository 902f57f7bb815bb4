"""The critic: does it fit, does it reach the scale of its targets, does it stay finite."""

import numpy as np

from puffer_callbacks.health.evidence import LOOKS, Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.rewards import NONZERO, SCALE
from puffer_callbacks.health.rules.symptoms import LEARNING, NETWORK, POLICY, SYMPTOMS
from puffer_callbacks.health.series import Series, median

FIT, RETURN_STD, VALUE_STD = "diagnostics/explained_variance", "diagnostics/return_std", "diagnostics/value_std"
ERROR, LOSS = "diagnostics/value_error", "losses/value"
_SMALL_ERROR = 0.1
_SHORT_ROLLOUT = 64
"""Steps of all environments together, within which returns vary too little for an explained variance."""
_UNTRAINED_ERROR = 0.7
"""Of the size of the targets; that of a new critic, whose values are about 0, is 1."""
_GONE = 0.01
_ANY_LOSS = 1.0
"""A sum of terms may begin at 0, as that of GRPO does, and has not exploded below this."""
_OTHER = 5.0
"""Times smaller rewards, from which on larger ones are of another scale."""
_FAR_TOO_LARGE = 3000.0
"""Rewards of a step where no second signal is needed."""


def critic_fits(evidence: Evidence, *, limit: float = _SMALL_ERROR) -> bool:
    """Whether values are known to lie so near to the returns, by default a tenth, that little is left to explain."""
    error = evidence.median(ERROR, after=0.5 * evidence.last_step)
    return error is not None and error < limit


@rule(
    "reward_scale_large",
    severity="critical",
    source="van Hasselt et al. 2016, arXiv:1602.07714; DLR-RM/stable-baselines3#2240",
    explains=SYMPTOMS,
)
def reward_scale_large(evidence: Evidence) -> Verdict | None:
    """Returns so large that the critic is nowhere near their scale, even late in the run."""
    targets, values = evidence.find(RETURN_STD), evidence.find(VALUE_STD)
    if targets is None or values is None:
        return _by_reward(evidence)
    late = evidence.total_steps * 0.5
    error = evidence.judged(ERROR, points=LOOKS).after(late).values
    spread = targets.after(late).values
    if not len(error) or not len(spread):
        raise NotJudged("needs the second half of the run")
    if median(error) < 0.8 or median(spread) < 30:
        return None
    if _rewards_are_new(evidence):
        raise NotJudged("needs rewards of one scale: the critic has just begun to learn these")
    message = (
        f"Returns spread over {median(spread):.3g}, and the critic is {median(error):.0%} of their size off "
        "in the second half of the run."
    )
    return Verdict(message, ("reward_scale_large", "critic_misfit", "learning_rate_low"), targets.span,
                   [RETURN_STD, VALUE_STD, ERROR, LOSS, "gradient_norm/total"])  # fmt: skip


def _rewards_are_new(evidence: Evidence) -> bool:
    """Whether rewards are far larger or smaller than at the beginning, as in a curriculum."""
    scale = evidence.find(SCALE)
    if scale is None:
        return False
    first, last = median(scale.values[:3]), median(scale.values[-3:])
    return max(first, last) > _OTHER * min(first, last) > 0


def _by_reward(evidence: Evidence) -> Verdict | None:
    """Without a critic in the rollout: rewards of hundreds a step, where the run does not do well."""
    reward = evidence.get(SCALE, points=5)
    if evidence.facts.normalizes_advantages and evidence.find(LOSS) is None:
        raise NotJudged("needs a critic: where advantages are normalized the scale of the rewards is lost")
    if median(reward.values) < 300:
        return None
    if median(reward.values) < _FAR_TOO_LARGE:
        evidence.require_share(0.5, reward)
        if evidence.does_well:
            return None
    message = f"Rewards are about {median(reward.values):.3g} a step, far from the scale that networks fit well."
    return Verdict(message, ("reward_scale_large",), reward.span,
                   [SCALE, LOSS, "gradient_norm/total"])  # fmt: skip


@rule(
    "critic_misfit",
    severity="warning",
    source="Huang et al. 2022, The 37 implementation details of PPO (explained variance)",
    explains=LEARNING,
    threshold=0.05,
)
def critic_misfit(evidence: Evidence, threshold: float) -> Verdict | None:
    """An explained variance that stays below ``threshold`` where returns vary and the run does not do well."""
    fit, spread = evidence.judged(FIT), evidence.find(RETURN_STD)
    returns = evidence.returns
    if spread is None and returns is None:
        raise NotJudged(f"needs {RETURN_STD} or train/reward: where returns do not vary nothing can be explained")
    evidence.require_share(0.5, fit)
    half = fit.after(evidence.total_steps * 0.4)
    if len(half.values) < 5 or median(half.values) > threshold or np.quantile(half.values, 0.8) > 0.2:
        return None
    if (spread is not None and _is_gone(spread, half.steps[0])) or evidence.median(NONZERO) == 0:
        return None
    if critic_fits(evidence) or evidence.does_well:
        return None
    message = f"The critic explains nothing of the returns (explained variance {median(half.values):.2f})."
    causes = ("critic_misfit", "reward_scale_large", "critic_detached", "value_coefficient_zero", "learning_rate_low")
    tags = [FIT, RETURN_STD, ERROR, LOSS]
    if critic_fits(evidence, limit=_UNTRAINED_ERROR):
        facts = evidence.facts
        if (facts.rollout_steps or np.inf) * (facts.num_envs or 1) <= _SHORT_ROLLOUT:
            return None
        message = f"{message[:-1]}, though its values have come near to their mean: the rest may be chance."
        return Verdict(message, causes, half.span, tags, "info")
    return Verdict(message, causes, half.span, tags)


def _is_gone(spread: Series, step: float) -> bool:
    """Whether returns hardly vary any more, of themselves or held against the run before."""
    late = spread.after(step).values
    return median(spread.values) < 1e-3 or (len(late) > 0 and median(late) < _GONE * spread.values.max())


@rule(
    "value_explodes",
    severity="critical",
    source="van Hasselt et al. 2018, arXiv:1812.02648 (the deadly triad)",
    explains=(*LEARNING, *POLICY, *NETWORK, "critic_misfit", "nonfinite_values"),
    threshold=1000.0,
)
def value_explodes(evidence: Evidence, threshold: float) -> Verdict | None:
    """A value loss that grows to more than ``threshold`` times its early level, while the return does not rise."""
    tag = next((t for t in (LOSS, "train/critic_loss", "train/loss") if evidence.find(t) is not None), None)
    if tag is None:
        raise NotJudged(f"needs {LOSS}")
    loss = evidence.get(tag, points=10)
    early = median(loss.values[: max(5, len(loss.values) // 10)])
    late = median(loss.values[-max(3, len(loss.values) // 10) :])
    is_small = tag == "train/loss" and late < _ANY_LOSS
    if early <= 0 or is_small or late < max(threshold * early, _largest_error(evidence)) or evidence.does_well:
        return None
    message = f"The {'loss' if tag == 'train/loss' else 'value loss'} explodes: from {early:.3g} to {late:.3g}."
    causes = ("learning_rate_high", "no_clipping", "reward_scale_large", "target_not_updated")
    return Verdict(message, causes, loss.span_since(loss.values > 30 * early), [tag])


def _largest_error(evidence: Evidence) -> float:
    """The squared error of values with the wrong sign, as large as rewards can make them; 0 where these are unknown.

    A new critic's error grows with its values, as DQN's does from nearly 0, until they are as large as returns.
    """
    returns, lengths, gamma = evidence.find("train/reward"), evidence.find("train/episode_length"), evidence.facts.gamma
    if returns is None or lengths is None or gamma is None:
        return 0.0
    rewards = np.abs(returns.values) / np.maximum(lengths.at(returns.steps), 1)
    horizon = min(1 / max(1 - gamma, 1e-9), lengths.values.max()) if gamma < 1 else lengths.values.max()
    return float(4 * np.nanmax([*(rewards * max(horizon, 1)), *np.abs(returns.values)]) ** 2)
