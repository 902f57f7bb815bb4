"""Values that are NaN or infinite, and series that vanish because of them."""

import re
from typing import Any, NamedTuple

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.data import REPEATED
from puffer_callbacks.health.rules.passing import COUNT, ends_training, is_nonfinite, training_goes_on
from puffer_callbacks.health.series import Series, median

_STAGES: tuple[tuple[str, str, str], ...] = (
    ("nonfinite/rollout/observations", "an observation", "nonfinite_observation"),
    ("nonfinite/rollout/rewards", "a reward", "nonfinite_reward"),
    ("nonfinite/rollout/values", "a value estimate", "nonfinite_activation"),
    ("nonfinite/rollout/log_probs", "a log-probability", "nonfinite_activation"),
    ("nonfinite/rollout/actions", "an action", "nonfinite_activation"),
    ("nonfinite/rollout/advantages", "an advantage", "nonfinite_activation"),
    ("nonfinite/rollout/returns", "a return", "nonfinite_activation"),
    ("nonfinite/train/", "a term of the loss", "nonfinite_loss"),
    ("nonfinite/diagnostics/approx_kl", "the KL of the policy", "nonfinite_loss"),
    ("losses/", "a term of the loss", "nonfinite_loss"),
    ("train/", "a term of the loss", "nonfinite_loss"),
    ("gradient_norm/", "a gradient", "nonfinite_gradient"),
    ("diagnostics/weight_norm/", "a weight", "nonfinite_weight"),
)
"""Tags along the way of the data, with what is not finite there and the cause."""
_OF_UPDATES = ("nonfinite/train/", "nonfinite/diagnostics/", "losses/", "train/", "gradient_norm/")
_DATA = ("nonfinite_observation", "nonfinite_reward")
_LOSS = re.compile(r"^losses/|^train/.*(loss|entropy)|^(gradient_norm|diagnostics)/")


class _Found(NamedTuple):
    """Values of a series that are not finite, in an order of time and then of the way of the data."""

    first_step: int
    stage: int
    tag: str
    what: str
    cause: str
    last_step: int


@rule("nonfinite_values", severity="critical", source="IEEE 754; Stable-Baselines3's VecCheckNan", explains=("*",))
def nonfinite_values(evidence: Evidence) -> Verdict | None:
    """NaN and infinite values, the first one on the data's way named."""
    found = [each for tag, series in evidence.raw.items() if (each := _nonfinite(tag, series, evidence))]
    if not found:
        by_error = _by_error(evidence)
        if by_error is None and not evidence.raw:
            raise NotJudged("needs a series, has none")
        return by_error
    first, _, tag, what, cause, _ = _earliest(found, evidence)
    causes: tuple[str, ...] = (cause,)
    if cause not in _DATA:
        unseen = () if evidence.find("diagnostics/observation_scale") else ("nonfinite_observation", "nonfinite_batch")
        causes = (cause, *unseen, "learning_rate_high", "no_clipping")
    message = f"Values are NaN or infinite from step {first} on; the first on the data's way is {what} ({tag})."
    counts = [tag] if tag.startswith(COUNT) else []
    return Verdict(message, causes, (first, max(each.last_step for each in found)), counts, seen_at=first)


def _nonfinite(tag: str, series: Series, evidence: Evidence) -> _Found | None:
    bad = is_nonfinite(tag, series)
    if not bad.any():
        return None
    first, last = int(series.steps[bad][0]), int(series.steps[bad][-1])
    stages = ((stage, what, cause) for stage, (prefix, what, cause) in enumerate(_STAGES) if tag.startswith(prefix))
    stage, what, cause = next(stages, (0, "", ""))
    if not cause or (tag.startswith(_OF_UPDATES) and _is_harmless(tag, first, evidence)):
        return None
    if cause == "nonfinite_loss" and not _LOSS.search(tag.removeprefix(COUNT)):
        what = "a number of the update"
    return _Found(first, stage, tag, what, cause, last)


def _is_harmless(tag: str, first: int, evidence: Evidence) -> bool:
    """Whether training goes on finite; of a number that need be no part of it, unless training ends with it."""
    name = tag.removeprefix(COUNT)
    is_metric = name in evidence.raw and not _LOSS.search(name)
    return not ends_training(evidence, first) if is_metric else training_goes_on(evidence, first)


def _earliest(found: list[_Found], evidence: Evidence) -> _Found:
    """The first; or data of the rollout in which it came, as a rollout is looked at when it ends."""
    first = min(found)
    for each in sorted(found, key=lambda each: each.stage):
        if each.cause in _DATA and _rollout_begin(evidence, each.first_step) <= first.first_step:
            return each
    return first


def _rollout_begin(evidence: Evidence, end: int) -> int:
    rollouts = evidence.find(REPEATED)
    before: Any = [] if rollouts is None else rollouts.steps[rollouts.steps < end]
    return int(before[-1]) if len(before) else 0


def _by_error(evidence: Evidence) -> Verdict | None:
    """A run that an exception about NaN ended. What was recorded is finite, so an input is likelier than weights."""
    error = evidence.facts.error
    if error is None or not re.search(r"\b(nan|inf)\b|non-?finite|not finite", error, re.IGNORECASE):
        return None
    text = " ".join(error.split())[:160]
    causes = ("nonfinite_observation", "nonfinite_batch", "nonfinite_activation", "nonfinite_reward")
    message = f"NaN or an infinite value has ended the run: {text}"
    return Verdict(message, causes, (evidence.last_step, evidence.last_step))


_LOSSES = ("train/policy_loss", "train/value_loss", "train/entropy", "train/loss")


@rule("series_vanished", severity="warning", source="PufferLib leaves out what is not finite")
def series_vanished(evidence: Evidence) -> Verdict | None:
    """Series of losses that all end long before the run does; one that ends alone was a term of a phase."""
    losses = {n: s for n, s in evidence.raw.items() if n in _LOSSES or n.startswith("losses/")}
    losses = {n: s for n, s in losses.items() if len(s.steps) >= 10}
    if not losses:
        raise NotJudged("needs 10 points of losses/*")
    tag, series = max(losses.items(), key=lambda item: int(item[1].steps[-1]))
    last, end, interval = evidence.last_step, int(series.steps[-1]), median(np.diff(series.steps))
    if last - end <= max(10 * interval, 0.1 * (last - evidence.first_step)):
        return None
    message = f"{tag} ends at step {end}, while the run goes on to {last}."
    return Verdict(message, ("value_vanished", "no_updates"), (end, last), [tag], seen_at=end)
