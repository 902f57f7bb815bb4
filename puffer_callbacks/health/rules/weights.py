"""Weights: do they change after an update, and do they last."""

import re
from collections.abc import Iterable

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.finding import Severity
from puffer_callbacks.health.modules import Role, has_actor, role_of
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.learning_rate import learning_rates
from puffer_callbacks.health.rules.policy_update import WEIGHT_CHANGE
from puffer_callbacks.health.rules.symptoms import LEARNING, NETWORK, POLICY, SYMPTOMS
from puffer_callbacks.health.series import Series, median, rank_correlation

NORM, GRADIENT, TAKEN = "diagnostics/weight_norm/", "gradient_norm/", "time/optimizer_steps"
_PREDICTOR = re.compile("predict", re.IGNORECASE)
_POINTS, _POINTS_OF_TARGET = 3, 5
_LASTING = 0.25
"""The share of a run that a part rests in vain: a critic's warm-up, as long as any, is over sooner."""
_WARM_UP = 0.5
"""The share of a run after which an update is overdue, as ``no_updates`` has it."""
_END = 0.9
"""The share of a run after which weights may rest at their schedule's end."""


@rule(
    "weights_unchanged",
    severity="critical",
    source="invariant: weights change after an update",
    explains=(*LEARNING, *POLICY, *NETWORK, "critic_misfit", "policy_loss_cancels"),
)
def weights_unchanged(evidence: Evidence) -> Verdict | None:
    """Weights that are the same for a quarter of the run, whole or in a part; a note where that may be meant so."""
    changes = {n: s for n, s in evidence.matching(WEIGHT_CHANGE).items() if len(s.values) >= _POINTS}
    if not changes:
        raise NotJudged(f"needs {_POINTS} points of {WEIGHT_CHANGE}*: a callback in the training loop")
    started = _first_update(evidence, changes)
    resting = {name: spell for name, s in changes.items() if (spell := _still(name, s, started, evidence)) is not None}
    if not resting:
        return None
    moving = {role_of(name) for name in changes if name not in resting}
    unneeded = _unneeded(evidence, resting, moving)
    still = {name: spell for name, spell in resting.items() if name not in unneeded} or resting
    which = f"The weights of {', '.join(sorted(still))}" if moving else "All weights"
    begins, ends = zip(*(spell.span for spell in still.values()), strict=True)
    span, zero = (min(begins), max(ends)), _zero_rates(evidence)
    causes, tags = _causes(evidence, still, moving), [*(WEIGHT_CHANGE + name for name in sorted(still)[:4]), *zero]
    if still.keys() <= unneeded:
        message = f"{which} stay exactly as they are, while {'others change' if moving else 'the run does well'}."
        return Verdict(message, ("learning_rate_zero",) if zero else ("part_left_out",), span, tags, "info")
    message = f"{which} stay exactly as they are, update after update."
    return Verdict(message, ("learning_rate_zero", *causes) if zero else causes, span, tags)


def _first_update(evidence: Evidence, changes: dict[str, Series]) -> int | None:
    """The step from which on weights should change; ``None`` where no update is known.

    Raises:
        NotJudged: before the middle of a run whose optimizers have not stepped: it may be filling its replay buffer.
    """
    moved = [int(s.steps[s.values > 0][0]) for s in changes.values() if (s.values > 0).any()]
    taken = evidence.find(TAKEN)
    if moved or taken is None:
        return min(moved, default=None)
    steps = taken.steps[taken.values > 0]
    if not len(steps):
        evidence.require_share(_WARM_UP, taken)
        return None
    return int(steps[0])


def _still(name: str, series: Series, started: int | None, evidence: Evidence) -> Series | None:
    """The points since its last change: after the first update, before a schedule's end, a good part of the run, and
    more than between two changes before, as a part may have its turn now and then."""
    judged = series.between(started or 0, _END * evidence.total_steps)
    spell, is_target = judged.ending(judged.values == 0), role_of(name) == "target"
    turn = np.diff(np.flatnonzero(judged.values), prepend=-1).max(initial=0)
    least = 10 if started is None else _POINTS_OF_TARGET if is_target else _POINTS
    if len(spell.values) < max(least, turn) or not evidence.lasts(spell, _LASTING):
        return None
    rests = is_target and np.ptp(spell.steps) < (evidence.facts.target_update_interval or 0.0)
    return None if rests else spell


def _unneeded(evidence: Evidence, still: Iterable[str], moving: set[Role]) -> set[str]:
    """Parts that may be meant to stay, while others change, or while the run does well without them.

    Those of no certain role, as a frozen encoder; the fixed random target of a predictor (Burda et al. 2018, RND,
    arXiv:1810.12894); and those that no gradient reaches beside others of their role that do change, as an output that
    is not used. All of them where a run learns by other means, as a table does.
    """
    reached = evidence.matching(GRADIENT)
    if _units_are_dead(evidence):
        return set()
    if not moving:
        return set(still) if evidence.does_well else set()
    has_predictor = any(_PREDICTOR.search(name) and role_of(name) == "other" for name in evidence.matching(NORM))
    fixed = {"other", "target"} if has_predictor and moving & {"actor", "critic"} else {"other"}
    return {n for n in still if role_of(n) in fixed or (role_of(n) in moving and reached and n not in reached)}


def _zero_rates(evidence: Evidence) -> dict[str, Series]:
    """The learning rates that are 0, of one parameter group or several."""
    return {tag: rate for tag, rate in learning_rates(evidence).items() if median(rate.values) == 0}


def _causes(evidence: Evidence, still: dict[str, Series], moving: set[Role]) -> tuple[str, ...]:
    roles = {role_of(name) for name in still}
    if not moving:
        return ("optimizer_missing", "no_updates")
    if roles == {"target"}:
        return ("target_not_updated",)
    if _units_are_dead(evidence):
        return ("dead_units", "initialization_saturates")
    if not has_actor(roles | moving):  # a critic that acts by itself, as DQN's
        return ("dead_units", "learning_rate_high", "critic_detached")
    return _causes_of_part(evidence, roles, moving, still)


def _causes_of_part(
    evidence: Evidence, roles: set[Role], moving: set[Role], still: dict[str, Series]
) -> tuple[str, ...]:
    """The causes where the actor or the critic, or some layers, stay as they are."""
    if "actor" in roles and _gradients_are_zero(evidence, still):
        return ("dead_units", "observation_ignored", "actor_not_trained")
    if roles == {"critic"} and "critic" not in moving:
        present = any(role_of(name) == "critic" for name in evidence.matching(GRADIENT))
        detached, unweighted = "critic_detached", "value_coefficient_zero"
        return (unweighted, detached) if present else (detached, unweighted)
    if roles == {"actor"} and "actor" not in moving:
        return ("actor_not_trained", "action_saturated", "optimizer_missing")
    return ("observation_ignored", "actor_not_trained", "dead_units") if "actor" in roles else ("optimizer_missing",)


def _gradients_are_zero(evidence: Evidence, names: Iterable[str]) -> bool:
    """Whether a gradient reaches each of the modules, and is exactly 0."""
    norms = [evidence.median(GRADIENT + name) for name in names]
    return all(norm == 0 for norm in norms)


def _units_are_dead(evidence: Evidence) -> bool:
    ratios = evidence.matching("plasticity/dormant_ratio/").values()
    return any(median(series.values[:5]) > 0.95 for series in ratios)


@rule(
    "weights_decay",
    severity="warning",
    source="Loshchilov and Hutter 2019, arXiv:1711.05101 (decay apart from the gradient)",
    explains=SYMPTOMS,
    threshold=0.5,
)
def weights_decay(evidence: Evidence, threshold: float) -> Verdict | None:
    """Weights that shrink to less than ``threshold`` of what they were."""
    norms = {n: s for n, s in evidence.matching(NORM).items() if len(s.values) >= 8 and s.values[0] > 0}
    hidden = {n: s for n, s in norms.items() if role_of(n) != "target"}
    if not hidden:
        raise NotJudged(f"needs 8 points of {NORM}*: a callback in the training loop")
    # log standard deviations and output layers may well shrink; most of the network may not
    fallen = {n: s for n, s in hidden.items() if median(s.values[-4:]) < threshold * s.values[0]}
    if len(fallen) < 2 or len(fallen) < 0.5 * len(hidden):
        return None
    if all(rank_correlation(s.values[: len(s.values) // 2]) > -0.3 for s in fallen.values()):
        return None
    returns = evidence.returns
    worst = min(fallen, key=lambda n: fallen[n].values[-1] / fallen[n].values[0])
    series = fallen[worst]
    left = series.values[-1] / series.values[0]
    message = f"Weights decay: those of {worst} have {left:.0%} of their norm left."
    severity: Severity = "critical" if returns is not None and not returns.healthy else "warning"
    span = series.span_since(series.values < 0.9 * series.values[0])
    return Verdict(message, ("weight_decay", "learning_rate_low"), span, [NORM + worst], severity)
