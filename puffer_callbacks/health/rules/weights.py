"""Weights: do they change after an update, and do they last."""

from collections.abc import Iterable

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.finding import Severity
from puffer_callbacks.health.modules import Role, role_of
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.policy_update import WEIGHT_CHANGE
from puffer_callbacks.health.rules.symptoms import LEARNING, NETWORK, POLICY, SYMPTOMS
from puffer_callbacks.health.series import Series, median, rank_correlation

NORM = "diagnostics/weight_norm/"
_POINTS = 3


@rule(
    "weights_unchanged",
    severity="critical",
    source="invariant: weights change after an update",
    explains=(*LEARNING, *POLICY, *NETWORK, "critic_misfit"),
)
def weights_unchanged(evidence: Evidence) -> Verdict | None:
    """Weights that are the same after an update as before, whole or in a part."""
    changes = {n: s for n, s in evidence.matching(WEIGHT_CHANGE).items() if len(s.values) >= _POINTS}
    if not changes:
        raise NotJudged(f"needs {_POINTS} points of {WEIGHT_CHANGE}*: a callback in the training loop")
    started = min((int(s.steps[s.values > 0][0]) for s in changes.values() if (s.values > 0).any()), default=None)
    still = {name: spell for name, s in changes.items() if (spell := _still(s, started, evidence)) is not None}
    if not still:
        return None
    begins, ends = zip(*(spell.span for spell in still.values()), strict=True)
    causes = _causes(evidence, changes, still)
    if not causes:
        return None
    which = "All weights" if len(still) == len(changes) else f"The weights of {', '.join(sorted(still))}"
    message = f"{which} stay exactly as they are, update after update."
    tags = [WEIGHT_CHANGE + name for name in sorted(still)[:4]]
    return Verdict(message, causes, (min(begins), max(ends)), tags)


def _still(series: Series, started: int | None, evidence: Evidence) -> Series | None:
    """The spell without a change: after the first update, before the end of a schedule, and most of the rest."""
    if started is None and len(series.values) < 10:
        return None
    unchanged = (series.values == 0) & (series.steps >= (started or 0)) & (series.steps <= 0.9 * evidence.total_steps)
    spell = series.spell(unchanged, points=5)
    if spell is None:
        return None
    rest = series.after(spell.steps[0]).steps
    return spell if len(spell.steps) >= 0.45 * len(rest) else None


def _causes(evidence: Evidence, changes: dict[str, Series], still: dict[str, Series]) -> tuple[str, ...]:
    roles = {role_of(name) for name in still}
    moving = {role_of(name) for name in changes if name not in still}
    if not moving:
        rate = evidence.median("train/learning_rate")
        return ("learning_rate_zero", "optimizer_missing") if rate == 0 else ("optimizer_missing", "no_updates")
    if roles == {"target"}:
        return ("target_not_updated",)
    if _units_are_dead(evidence):
        return ("dead_units", "initialization_saturates")
    if "actor" not in roles | moving:  # a critic that acts by itself, as DQN's
        return ("dead_units", "learning_rate_high", "critic_detached")
    return _causes_of_part(evidence, roles, moving, still)


def _causes_of_part(
    evidence: Evidence, roles: set[Role], moving: set[Role], still: dict[str, Series]
) -> tuple[str, ...]:
    """The causes where the actor or the critic, or some layers, stay as they are."""
    if "actor" in roles and _gradients_are_zero(evidence, still):
        return ("dead_units", "observation_ignored", "actor_not_trained")
    if roles == {"critic"} and "critic" not in moving:
        present = any(role_of(name) == "critic" for name in evidence.matching("gradient_norm/"))
        detached, unweighted = "critic_detached", "value_coefficient_zero"
        return (unweighted, detached) if present else (detached, unweighted)
    if roles == {"actor"} and "actor" not in moving:
        return ("actor_not_trained", "action_saturated", "optimizer_missing")
    return ("observation_ignored", "actor_not_trained", "dead_units") if "actor" in roles else ("optimizer_missing",)


def _gradients_are_zero(evidence: Evidence, names: Iterable[str]) -> bool:
    """Whether a gradient reaches each of the modules, and is exactly 0."""
    norms = [evidence.median(f"gradient_norm/{name}") for name in names]
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
