"""The first minibatch of a fresh rollout, whose policy is still the one that collected it."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.data import REPEATED
from puffer_callbacks.health.rules.policy_update import CLIP, KL, kl_scale, steps_of_update
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.series import Series, median

FIRST_KL, LOG_PROB_ERROR = "diagnostics/first_kl", "diagnostics/log_prob_error"
FIRST_LOSS, TRAINING_STEPS = "diagnostics/first_policy_loss", "diagnostics/training_steps"
_ERROR = 0.05
"""Of the clip range: an error of log-probabilities that bfloat16, 0.02 of it, stays below."""
_ROUNDED = 1e-7
"""Nats of KL that float32 rounds off."""
_MANY, _ABOVE_0 = 8, 0.05
"""Points, and a loss in deviations of advantages, that minibatches of a normalized rollout pass by chance at times."""
_MOST_FOLLOWED = 256
"""Training steps of one update that are counted."""


def of_first_minibatch(evidence: Evidence, tag: str) -> Series | None:
    """A number of the first training step of each update, where a training step is one minibatch.

    By Lightning's manual optimization, and in a loop that reports once an update, a training step is a whole update,
    and its numbers are those of the last minibatch, or a mean.
    """
    counted = evidence.median(TRAINING_STEPS)
    is_whole = counted is not None and counted < min(steps_of_update(evidence), _MOST_FOLLOWED)
    return None if is_whole else evidence.find(tag)


@rule(
    "ratio_not_one",
    severity="critical",
    source="Huang et al. 2022, The 37 implementation details of PPO (debugging: ratio = 1 in the first minibatch)",
    explains=(*SYMPTOMS, "clip_fraction_zero", "policy_loss_cancels"),
)
def ratio_not_one(evidence: Evidence) -> Verdict | None:
    """The probability ratio on the first minibatch of a fresh rollout, which is 1 in a correct program."""
    first, error = of_first_minibatch(evidence, FIRST_KL), evidence.find(LOG_PROB_ERROR)
    if first is None and error is None:
        raise NotJudged(f"needs {FIRST_KL} or {LOG_PROB_ERROR}: a callback in the training loop")
    scale = kl_scale(evidence)
    by_kl = _spell(first, 1e-2 * scale)
    by_error = _spell(error, _ERROR * (2 * scale) ** 0.5)
    spans = [spell.span for spell in (by_kl, by_error) if spell is not None]
    if not spans:
        return None
    begins, ends = zip(*spans, strict=True)
    if by_kl is None and _has_no_ratio(evidence):
        raise NotJudged("needs rollouts before their update: log-probabilities have moved since, and no ratio has")
    where = (
        "differ from what the policy that collected them gives" if by_error else "have moved before the first update"
    )
    message = f"The probability ratio is not 1 on the first minibatch of a fresh rollout: log-probabilities {where}."
    causes = _mismatch(evidence, stored=by_error is not None)
    return Verdict(message, causes, (min(begins), max(ends)), [FIRST_KL, LOG_PROB_ERROR, KL])


def _has_no_ratio(evidence: Evidence) -> bool:
    """Whether the loss knows no ratio, as REINFORCE's, or that is 1 where an update begins."""
    first = of_first_minibatch(evidence, FIRST_KL)
    if first is None:
        return evidence.find("train/policy_loss") is not None and evidence.find(KL) is None
    return bool(first.values.max() < _ROUNDED)


def _spell(series: Series | None, threshold: float) -> Series | None:
    if series is None or len(series.values) < 4:
        return None
    return series.spell(series.smoothed(3).values > threshold, points=4)


def _mismatch(evidence: Evidence, *, stored: bool) -> tuple[str, ...]:
    """The causes, by what else is seen."""
    causes: list[str] = ["train_eval_mismatch"] if evidence.facts.has_dropout else []
    clip, kl = evidence.median(CLIP), evidence.median(KL)
    first = evidence.median(FIRST_KL)
    if stored:
        drifts = clip == 0 and kl is not None and kl > kl_scale(evidence)
        causes += ["sampler_drift", "log_prob_stale"] if drifts else ["log_prob_stale", "sampler_drift"]
        causes += ["log_prob_wrong_action"]
    elif _differs_at_once(evidence):  # there is no earlier policy yet
        causes += ["log_prob_wrong_action", "train_eval_mismatch"]
    else:
        returns = evidence.returns
        whole = kl is not None and first is not None and first > 0.7 * kl
        wrong = whole and (returns is None or not returns.improved)
        causes += ["log_prob_wrong_action", "data_stale"] if wrong else ["data_stale", "log_prob_wrong_action"]
        causes += ["train_eval_mismatch"]
    return tuple(dict.fromkeys(causes))


def _differs_at_once(evidence: Evidence) -> bool:
    """Whether the ratio is not 1 on the first minibatch of the run's first rollout, whose policy is the only one."""
    first, rollouts = evidence.find(FIRST_KL), evidence.find(REPEATED)
    if first is None or rollouts is None or len(rollouts.steps) < 2:
        return False
    return bool(first.steps[0] == rollouts.steps[1] and first.values[0] > _ROUNDED)


@rule(
    "surrogate_not_zero",
    severity="critical",
    source="Schulman et al. 2017, arXiv:1707.06347, equation 7: with a ratio of 1 the objective is the mean advantage",
    explains=SYMPTOMS,
)
def surrogate_not_zero(evidence: Evidence) -> Verdict | None:
    """A policy loss above 0 on the first minibatch, where the ratio is 1 and advantages have mean 0."""
    loss, kl = evidence.get(FIRST_LOSS, points=_MANY), evidence.get(FIRST_KL, points=_MANY)
    if of_first_minibatch(evidence, FIRST_LOSS) is None:
        raise NotJudged("needs training steps of one minibatch each")
    evidence.get(CLIP)
    if not evidence.facts.normalizes_advantages or np.abs(kl.values).max() > 1e-2 * kl_scale(evidence):
        raise NotJudged("needs advantages that are normalized, and a ratio of 1 on the first minibatch")
    if np.mean(loss.values > _ABOVE_0) < 0.9:
        return None
    found = f"{median(loss.values):+.2g} on the first minibatch of a rollout"
    message = f"The policy loss is {found}, where every ratio is 1 and the mean of the advantages 0."
    return Verdict(message, ("clip_wrong",), loss.span, [FIRST_LOSS, FIRST_KL])
