"""Episodes and returns."""

import numpy as np

from puffer_callbacks.health.evidence import LOOKS, Evidence, NotJudged
from puffer_callbacks.health.finding import Severity
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.series import median

DONES, LIMIT = "diagnostics/done_fraction", "diagnostics/time_limit_fraction"
PLAIN = "diagnostics/plain_end_fraction"
LENGTH = "train/episode_length"
_LEAST_SHARE = 0.5
"""The share of a run before which a return that stands still is no news."""
_UNLEARNED = ("advantage_sign", "td_target_wrong", "learning_rate_high", "exploration_unlucky")
"""Causes of a return that ends below where it began."""
_MUCH = 0.5
"""Of the level at the beginning: a return that is lower by this has not been out of luck."""
_LEAST_LOSS = 0.1
"""Of the return's size: means over a long part of the run differ by less without a cause."""


@rule(
    "episodes_never_end",
    severity="critical",
    source="Pardo et al. 2018, arXiv:1712.00378 (time limits)",
    explains=SYMPTOMS,
)
def episodes_never_end(evidence: Evidence) -> Verdict | None:
    """Not one step marked as an end in more steps than an episode can have, unless time limits alone end episodes."""
    dones = evidence.get(DONES, points=3)
    limit, num_envs = evidence.facts.max_episode_steps, evidence.facts.num_envs or 1
    if limit is None:
        raise NotJudged("needs the environment's time limit")
    rollout = np.diff(np.unique(dones.steps)).min(initial=dones.span[1])  # of those between two looks no step was seen
    lengths, seen = evidence.find(LENGTH), dones
    if lengths is not None:
        short = lengths.steps[lengths.values < limit]
        if not len(short):  # a cut at the limit is no end for those who bootstrap there
            return None
        seen = dones.after(short[0])
    steps_of_each = len(seen.values) * rollout / num_envs
    if (dones.values > 0).any() or steps_of_each < 2 * limit:
        return None
    message = f"No episode has ended in {steps_of_each:.0f} steps of each environment; its time limit is {limit}."
    if lengths is not None:
        message = f"Episodes of {median(lengths.values):.0f} steps are reported, but no step is marked as their end."
    return Verdict(message, ("dones_missing",), dones.span, [DONES, LENGTH])


@rule(
    "return_fell",
    severity="warning",
    source="Dohare et al. 2024, Loss of plasticity in deep continual learning",
    explains=("episodes_at_limit",),
)
def return_fell(evidence: Evidence) -> Verdict | None:
    """A return that ends below where it began, or has lost most of what it had won; a note where that is little."""
    returns = evidence.required_returns
    series = returns.series
    evidence.require_share(_LEAST_SHARE, series)
    if not (returns.fell or returns.worsened):
        return None
    span, tags = series.span_since(series.values == returns.best), ["train/reward"]
    message = f"The return has fallen from {returns.best:.4g} to {returns.late:.4g}."
    causes: tuple[str, ...] = _UNLEARNED
    if not returns.worsened:
        causes = ("learning_rate_high", "plasticity_lost", "entropy_coefficient_low", "exploration_unlucky")
    lost = (returns.early if returns.worsened else returns.best) - returns.late
    is_little = lost < _LEAST_LOSS * max(abs(returns.early), abs(returns.late))
    # to lose a part of what was won is what returns do
    severity: Severity = "info" if returns.improved or is_little else _severity(evidence)
    return Verdict(message, causes, span, tags, severity)


@rule(
    "return_stalled",
    severity="warning",
    source="Henderson et al. 2018, arXiv:1709.06560",
    explains=("episodes_at_limit",),
)
def return_stalled(evidence: Evidence) -> Verdict | None:
    """A return that has not risen since the run began: a note at first, as some learn late, a warning at the end."""
    returns = evidence.required_returns
    series = returns.series
    evidence.require_share(_LEAST_SHARE, series)
    if len(series.values) < 20:
        raise NotJudged(f"needs 20 points of train/reward, has {len(series.values)}")
    evidence.require_beginning()
    if returns.improved or returns.worsened or returns.fell:
        return None
    rise = returns.late - returns.early
    beyond = f" beyond its noise (±{2 * returns.noise:.3g})" if rise > 0 else ""
    message = f"The return has not risen{beyond}: {returns.early:.4g} at the start, {returns.late:.4g} now."
    if returns.rises_at_last:
        message = f"The return has only begun to rise: {returns.early:.4g} at the start, {returns.best:.4g} at last."
    first = "returns_alike" if returns.are_alike else "exploration_unlucky"
    causes: tuple[str, ...] = (
        first,
        "learning_rate_low",
        "td_target_wrong",
        "exploration_missing",
        "advantage_misaligned",
    )
    if -rise > _MUCH * abs(returns.early):  # too noisy to be sure that it fell
        causes = _UNLEARNED
    may_learn = rise > returns.noise or returns.may_have_risen or returns.are_rare or returns.rises_at_last
    severity: Severity = "info" if may_learn else _severity(evidence)
    return Verdict(message, causes, series.span, ["train/reward"], severity)


def _severity(evidence: Evidence) -> Severity:
    """A note while the return may still recover, and a warning near the end."""
    return "warning" if evidence.is_late else "info"


@rule("episodes_at_limit", severity="info", source="Pardo et al. 2018, arXiv:1712.00378")
def episodes_at_limit(evidence: Evidence) -> Verdict | None:
    """Episodes that all end at the time limit, while the return does not rise."""
    share, returns = evidence.judged(LIMIT, points=LOOKS), evidence.required_returns
    if np.mean(share.values == 1) < 0.9 or returns.improved:
        return None
    message = "Every episode is cut at the time limit, and the return does not rise."
    causes: tuple[str, ...] = ("time_limit_only", "exploration_missing")
    if evidence.median(PLAIN, after=evidence.burn_in) == 1:  # advantages know nothing of what comes after the cut
        causes = ("time_limit_as_end", *causes)
    return Verdict(message, causes, share.span, [LIMIT, PLAIN])
