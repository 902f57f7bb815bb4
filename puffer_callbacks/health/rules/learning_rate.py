"""The learning rate: is it as configured, and does it do what it should."""

from functools import partial

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import CRITIC, LEARNING, NETWORK, POLICY, SYMPTOMS
from puffer_callbacks.health.series import Series, median

RATE = "train/learning_rate"
_END = 0.9
"""The share of a run after which a learning rate of 0 is a schedule's end."""
_LATE_START = 0.3
"""The share of a run before which a schedule that begins at 0 may still begin."""


def learning_rates(evidence: Evidence) -> dict[str, Series]:
    """The learning rate of each parameter group of each optimizer, by its tag."""
    return {RATE + name: rate for name, rate in evidence.matching(RATE).items() if not name or name.startswith("/")}


def largest_rate(evidence: Evidence) -> Series:
    """The largest of them at each step; others may be smaller on purpose, or 0 to keep a part as it is.

    Raises:
        NotJudged: if there are fewer than three points.
    """
    steps = evidence.get(RATE, points=3).steps
    return Series(steps, np.fmax.reduce([rate.at(steps) for rate in learning_rates(evidence).values()]))


def may_yet_begin(evidence: Evidence, spell: Series) -> bool:
    """Whether every learning rate is 0 over a stretch, and that is no longer than a schedule's late start."""
    within = [rate.between(*spell.span).values for rate in learning_rates(evidence).values()]
    rests = any(map(len, within)) and not any(values.any() for values in within)
    return rests and not evidence.lasts(spell, _LATE_START)


@rule(
    "learning_rate_zero",
    severity="critical",
    source="invariant: without a learning rate nothing is learned",
    explains=(
        *SYMPTOMS,
        "weights_unchanged",
        "ratio_not_one",
        "schedule_not_applied",
        "observation_scale",
        "data_repeated",
    ),
    reads=RATE,
)
def learning_rate_zero(evidence: Evidence) -> Verdict | None:
    """A learning rate that is 0 before the end of the run; from its first step on, for three tenths of it."""
    rate = largest_rate(evidence)
    spell = rate.ending(rate.values == 0)
    if len(spell.values) < 3 or spell.steps[0] > _END * evidence.total_steps:
        return None
    begin = spell.steps[0]
    if begin == rate.steps[0] and not evidence.lasts(spell, _LATE_START):
        return None
    left = "" if evidence.length is None else f", with {1 - begin / evidence.length:.0%} of the run left"
    return Verdict(f"The learning rate is 0 from step {begin} on{left}.", ("learning_rate_zero",), spell.span, [RATE])


@rule("schedule_not_applied", severity="warning", source="invariant: the learning rate moves as configured")
def schedule_not_applied(evidence: Evidence) -> Verdict | None:
    """A learning rate that stays, where it is configured to fall, or that is another than configured."""
    rates, rate, facts = learning_rates(evidence), largest_rate(evidence), evidence.facts
    if facts.anneal_learning_rate is None and facts.learning_rate is None:
        raise NotJudged("needs the configured learning rate or its schedule")
    if len(rate.values) < 5:
        raise NotJudged(f"needs 5 points of {RATE}, has {len(rate.values)}")
    evidence.require_beginning()  # a schedule of the user's may have moved it since
    if facts.learning_rate and rate.values[0] and not any(map(partial(_is_near, facts.learning_rate), rates.values())):
        return _another_rate(rate, facts.learning_rate)
    covered = (rate.steps[-1] - rate.steps[0]) / max(evidence.total_steps, 1)
    stays = all(np.ptp(each.values) < 1e-3 * max(each.values[0], 1e-30) for each in rates.values())
    if facts.anneal_learning_rate and covered > 0.3 and rate.values[0] > 0 and stays:
        message = f"The learning rate is configured to fall, but stays {rate.values[0]:.3g}."
        return Verdict(message, ("schedule_not_applied",), rate.span, [RATE])
    return None


def _is_near(configured: float, rate: Series) -> bool:
    return bool(0.1 < rate.values.max() / configured < 10)


def _another_rate(rate: Series, configured: float) -> Verdict | None:
    largest = float(rate.values.max())
    if largest < configured and rate.values[-1] > rate.values[0]:  # it warms up
        return None
    message = f"The learning rate in force is {largest:.3g}, the configured one {configured:.3g}."
    cause = "learning_rate_high" if largest > configured else "learning_rate_low"
    return Verdict(message, (cause, "schedule_not_applied"), rate.span, [RATE], seen_at=rate.span[0])


@rule(
    "update_ratio_large",
    severity="warning",
    source="Karpathy, CS231n notes: |update| / |weight| of about 1e-3",
    explains=(*LEARNING, *POLICY, *NETWORK, *CRITIC, "gradient_explodes", "weights_unchanged"),
    threshold=0.03,
)
def update_ratio_large(evidence: Evidence, threshold: float) -> Verdict | None:
    """Steps that change weights by more than ``threshold`` of themselves, while the return does not rise."""
    early = {
        name: median(series.values[:5])
        for name, series in evidence.matching("update_ratio/").items()
        if name.endswith("weight") and len(series.values) >= 8
    }
    if not early:
        raise NotJudged("needs 8 points of update_ratio/*.weight")
    large = {name: value for name, value in early.items() if value > threshold}
    if len(large) <= 0.5 * len(early) or evidence.does_well:  # half of them begin at 0 in adapters of low rank
        return None
    worst = max(large, key=lambda name: large[name])
    tag = f"update_ratio/{worst}"
    series = evidence.get(tag)
    middle = int(series.steps[np.argsort(series.values[:5])[2]])  # the step of the median
    message = f"One step changes {worst} by {large[worst]:.1%} of itself; about 0.1 % is common."
    return Verdict(message, ("learning_rate_high", "no_clipping"), series.span, [tag, RATE], seen_at=middle)
