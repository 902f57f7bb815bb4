"""Units and features: saturated, dormant, of low rank."""

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.modules import role_of
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.critic import critic_fits
from puffer_callbacks.health.rules.symptoms import LEARNING, NETWORK, POLICY, SYMPTOMS
from puffer_callbacks.health.series import Series, median

SATURATED, DORMANT = "plasticity/saturated_ratio/", "plasticity/dormant_ratio/"
RANK, NORM = "plasticity/effective_rank/", "plasticity/feature_norm/"


def _lately(series: Series) -> float:
    """The level over the last third of the points, and over five at least: a share of units goes up and down."""
    return median(series.values[-max(5, len(series.values) // 3) :])


def _layers(evidence: Evidence, prefix: str, points: int = 5) -> dict[str, Series]:
    layers = {n: s for n, s in evidence.matching(prefix).items() if len(s.values) >= points and role_of(n) != "target"}
    if not layers:
        raise NotJudged(f"needs {points} points of {prefix}*: PlasticityCallback")
    return layers


@rule(
    "initialization_saturates",
    severity="warning",
    source="Glorot and Bengio 2010 (saturation of tanh)",
    explains=(*SYMPTOMS, "reward_scale_large", "weights_unchanged"),
)
def initialization_saturates(evidence: Evidence) -> Verdict | None:
    """Bounded units that lie at their bounds from the start."""
    evidence.require_beginning()
    layers = _layers(evidence, SATURATED)
    soon = evidence.first_step + 0.05 * (evidence.total_steps - evidence.first_step)
    at_start = {n: s for n, s in layers.items() if s.values[0] > 0.5 and s.steps[0] <= soon}  # before any update
    if not at_start:
        return None
    name = max(at_start, key=lambda n: at_start[n].values[0])
    span = at_start[name].span
    message = f"{at_start[name].values[0]:.0%} of the activations of {name} are saturated from the start."
    causes = ("initialization_saturates", "observation_scale", "input_scale", "learning_rate_high")
    return Verdict(message, causes, span, [SATURATED + name], seen_at=span[0])


@rule(
    "units_saturated",
    severity="warning",
    source="Glorot and Bengio 2010 (saturation of tanh)",
    explains=(*LEARNING, *POLICY, *NETWORK, "weights_unchanged", "critic_misfit"),
    threshold=0.9,
)
def units_saturated(evidence: Evidence, threshold: float) -> Verdict | None:
    """Layers with more than ``threshold`` of their activations saturated in time, while the return does not rise."""
    layers, returns = _layers(evidence, SATURATED), evidence.returns_since_beginning  # a good policy may well saturate
    later = {n: s for n, s in layers.items() if _lately(s) > threshold}
    if critic_fits(evidence):
        later = {n: s for n, s in later.items() if role_of(n) != "critic"}
    if returns.healthy or not later:
        return None
    name = max(later, key=lambda n: later[n].values[-1])
    series = later[name]
    message = (
        f"{series.values[-1]:.0%} of the activations of {name} have become saturated, and the return does not rise."
    )
    causes = ("td_target_wrong", "learning_rate_high", "weights_saturate", "observation_scale")
    return Verdict(message, causes, series.span_since(series.values > threshold), [SATURATED + name])


@rule(
    "units_dormant",
    severity="warning",
    source="Sokar et al. 2023, arXiv:2302.12902",
    explains=(*LEARNING, *POLICY, *NETWORK, "weights_unchanged", "critic_misfit"),
    threshold=0.8,
)
def units_dormant(evidence: Evidence, threshold: float) -> Verdict | None:
    """Layers with more than ``threshold`` of their units dormant, while the return does not rise."""
    layers, returns = _layers(evidence, DORMANT), evidence.returns
    dead = {n: s for n, s in layers.items() if _lately(s) > 0.95}
    many = {n: s for n, s in layers.items() if _lately(s) > threshold}
    found = dead or many
    if not found or returns is None or returns.healthy:
        return None
    name = max(found, key=lambda n: found[n].values[-1])
    series = found[name]
    span = series.span_since(series.values > threshold)
    message = f"{series.values[-1]:.0%} of the units of {name} are dormant, and the return does not rise."
    causes = ("dead_units", "plasticity_lost") if median(series.values[:3]) > threshold else (
        "plasticity_lost", "dead_units")  # fmt: skip
    return Verdict(message, (*causes, "learning_rate_high"), span, [DORMANT + name])


@rule(
    "plasticity_lost",
    severity="warning",
    source="Moalla et al. 2024, arXiv:2405.00662; Kumar et al. 2021, arXiv:2010.14498",
    explains=LEARNING,
)
def plasticity_lost(evidence: Evidence) -> Verdict | None:
    """A feature norm that grows, then a rank that falls, then a return that falls: the order of plasticity loss."""
    ranks, norms, returns = _layers(evidence, RANK, 10), evidence.matching(NORM), evidence.required_returns
    if not returns.fell:
        return None
    for name, rank in ranks.items():
        norm = norms.get(name)
        if norm is None or role_of(name) == "critic":
            continue
        peak = float(rank.smoothed().values.max())
        grown = median(norm.values[-5:]) > 3 * max(float(norm.values[0]), 1e-9)
        if grown and median(rank.values[-5:]) < 0.25 * peak:
            span = rank.span_since(rank.smoothed().values == peak)
            message = f"The features of {name} have lost their rank ({peak:.0f} to {rank.values[-1]:.0f}) as they grew."
            causes = ("plasticity_lost", "learning_rate_high", "too_many_epochs")
            return Verdict(message, causes, span, [RANK + name, NORM + name])
    return None
