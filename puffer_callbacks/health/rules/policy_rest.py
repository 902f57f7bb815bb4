"""A policy that rests, though its weights change, and a policy loss that cancels out."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.first_minibatch import TRAINING_STEPS
from puffer_callbacks.health.rules.learning_rate import RATE, learning_rates
from puffer_callbacks.health.rules.loss import ENTROPY
from puffer_callbacks.health.rules.loss import POLICY as LOSS
from puffer_callbacks.health.rules.policy_update import (
    CLIP,
    DEFAULT_CLIP_RANGE,
    KL,
    kl_of_policy,
    steps_of_update,
    weight_changes,
)
from puffer_callbacks.health.rules.symptoms import LEARNING, NETWORK, POLICY
from puffer_callbacks.health.rules.targets import ADVANTAGES as SPREAD
from puffer_callbacks.health.series import Series, median

CHANGE, LARGEST = "diagnostics/log_prob_change", "diagnostics/largest_policy_loss"
_MANY = 4
_ROUNDED = 1e-5
"""Nats that float32's rounding stays below; an update moves log-probabilities by 0.01 to 0.2."""
_SHOWS = 1e-3
"""Nats of which float32 shows the KL, half their square."""
_CERTAIN = 0.01
"""Nats of entropy below which probabilities may stay 0 and 1."""
_ZERO, _SHARE = 3e-7, 1e-3
"""A policy loss that is 0 but for rounding; and its share of what log-probabilities have moved by since, where it is a
tenth by chance: advantages have a deviation of 1."""
_MUCH = 0.1
"""A clip fraction worth a look; and the part of the least KL below which no estimator of it lies by chance."""
_SMALL = 1e-6
"""A learning rate with which a sound policy may rest."""


@rule(
    "policy_loss_cancels",
    severity="critical",
    source="invariant: the mean of ratio · advantage over all pairs is the product of the means, and the latter is 0",
    explains=(*LEARNING, *POLICY, *NETWORK),
)
def policy_loss_cancels(evidence: Evidence) -> Verdict | None:
    """A policy loss of 0 in every minibatch of updates that move the policy: with a ratio r it is −mean(A r)."""
    change, (sizes, share) = evidence.get(CHANGE, points=_MANY), _losses(evidence)
    spread = 1.0 if evidence.facts.normalizes_advantages else evidence.median(SPREAD)
    if spread is None:
        raise NotJudged("needs advantages, or that they are normalized, which gives the policy loss a scale")
    losses = sizes.at(change.steps) / min(1.0, max(spread, _ROUNDED))  # minibatches may normalize them
    moved = (change.values > _ROUNDED) & (losses > 0)  # exactly 0 is a loss that is not reported
    if moved.sum() < _MANY:
        raise NotJudged(f"needs {_MANY} updates that move the policy, with a policy loss of each minibatch")
    if evidence.median(KL) == 0 and median(change.values[moved]) > _SHOWS:
        raise NotJudged("needs a ratio that is not always 1, with which the policy loss is 0")
    if not (losses[moved] < share * change.values[moved] + _ZERO).all():
        return None
    message = "The policy loss is 0 but for rounding in every minibatch, so that advantages do not train the policy."
    return Verdict(message, ("policy_loss_broadcast",), change.span, [LARGEST, CHANGE])


@rule(
    "policy_rests",
    severity="critical",
    source="invariant: an update that trains the policy moves its log-probabilities",
    explains=(*LEARNING, *POLICY, *NETWORK),
)
def policy_rests(evidence: Evidence) -> Verdict | None:
    """Log-probabilities that no update has moved but for rounding, from the first one on."""
    change = evidence.get(CHANGE, points=_MANY)
    if change.values.max() > _ROUNDED:
        return None
    if not _weights_change(evidence):
        raise NotJudged("needs a policy all of whose weights change in every update")
    if evidence.facts.num_actions and not (evidence.median(ENTROPY) or 0.0) > _CERTAIN:
        raise NotJudged("needs the entropy of a policy that is not certain: one that is may rest")
    message = "Updates do not move the policy: its log-probabilities stay as they are, though its weights change."
    causes: tuple[str, ...] = ("actor_not_trained", "learning_rate_low")
    loss = evidence.find(LOSS)
    if loss is not None and np.abs(loss.values).max() < _ZERO:
        causes = ("policy_loss_broadcast", *causes)
    rates = [median(rate.values) for rate in learning_rates(evidence).values()]
    if rates and max(rates) < _SMALL:
        causes = ("learning_rate_low", *(cause for cause in causes if cause != "learning_rate_low"))
    return Verdict(message, causes, change.span, [CHANGE, LOSS, RATE])


@rule(
    "clip_range_small",
    severity="warning",
    source="invariant: a ratio beyond 1 ± c has (r − 1) − log r of at least c − log(1 + c), so that the KL has a least",
    explains=(*LEARNING, *POLICY),
)
def clip_range_small(evidence: Evidence) -> Verdict | None:
    """A clip fraction that the KL forbids with the usual clip range, while the return does not rise."""
    fraction, kl = evidence.get(CLIP, points=_MANY), kl_of_policy(evidence, points=_MANY)
    clip = evidence.facts.clip_range or DEFAULT_CLIP_RANGE
    least = fraction.values * (clip - np.log1p(clip))
    spell = fraction.spell((fraction.values > _MUCH) & (kl.at(fraction.steps) < _MUCH * least), points=_MANY, share=0.5)
    if spell is None or evidence.does_well:
        return None
    message = (
        f"{median(spell.values):.0%} of the ratios are clipped, though the policy hardly moves: the KL would be "
        f"{median(least):.2g} at least with a clip range of {clip:.2g}."
    )
    return Verdict(message, ("clip_range_small", "clip_wrong"), spell.span, [CLIP, KL])


def _losses(evidence: Evidence) -> tuple[Series, float]:
    """The size of the policy loss in each update, and the share of the policy's move that it may have by chance.

    Where a training step is a whole update, as by manual optimization, the mean over its minibatches: that of a single
    step is 0 in a sound program too, and that of several comes nearer to 0 by chance.
    """
    if evidence.median(TRAINING_STEPS) != 1 or steps_of_update(evidence) < 2:
        return evidence.get(LARGEST, points=_MANY), _SHARE
    mean = evidence.get(LOSS, points=_MANY)
    return Series(mean.steps, np.abs(mean.values)), 0.0


def _weights_change(evidence: Evidence) -> bool:
    """Whether each part that may be the policy's has changed in every update: one that is frozen may be the policy."""
    changes = [change.values for change in weight_changes(evidence)]
    return bool(changes) and all(map(np.all, changes))
