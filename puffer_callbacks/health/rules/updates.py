"""Updates: whether there are any, and enough to learn from."""

import numpy as np

from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.finding import Severity
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.series import Series, median

_USUAL_ROLLOUT = 8192
"""Environment steps of a rollout above which its length is the likelier cause; PPO's usual ones are 1024 to 8192."""
_LEAST_TARGETS = 5
"""Updates of a target network that a run needs to learn from its values."""
_RISEN = 0.5
"""Growth of the return, over its size at first, from which on a run of few points has risen."""
_RETURN = "train/reward"
_OF_TRAINING_STEPS = "diagnostics/first_"
_NOTHING = ("no_updates", "optimizer_missing")


@rule(
    "no_updates",
    severity="critical",
    source="invariant: a run that learns makes updates",
    explains=(*SYMPTOMS, "weights_unchanged", "exploration_stays"),
)
def no_updates(evidence: Evidence) -> Verdict | None:
    """Half a run without an update."""
    returns = evidence.returns
    if returns is None or evidence.facts.total_steps is None:
        raise NotJudged("needs the length of the run and 8 points of train/reward")
    learned = [s for tag, s in evidence.raw.items() if tag.startswith(("train/loss", "losses/", "gradient_norm/"))]
    steps = evidence.find("time/optimizer_steps")
    makes_updates = learned or (steps is not None and steps.values[-1] > steps.values[0])
    if makes_updates or evidence.last_step < 0.5 * evidence.total_steps:
        return None
    is_counted = steps is not None and evidence.facts.algorithm not in (None, "ARS")  # which has no optimizer
    if returns.healthy and not is_counted:  # a mean over a window of episodes may rise without them
        raise NotJudged("the return rises, by updates without a loss or a gradient that is known")
    message = "No loss and no gradient so far: the run does not learn."
    reports = any(tag.startswith(_OF_TRAINING_STEPS) for tag in evidence.raw)
    return Verdict(message, ("optimizer_missing", "no_updates") if reports else _NOTHING, evidence.span)


@rule(
    "updates_few",
    severity="warning",
    source="Thomas et al. 2025, muPRL, arXiv:2408.15150 (mutants with huge rollouts, and with training cut short)",
    explains=("return_stalled", "return_fell", "episodes_at_limit"),
    threshold=10.0,
)
def updates_few(evidence: Evidence, threshold: float) -> Verdict | None:
    """A plan for fewer than ``threshold`` rollouts, each followed by one update, or for few of a target network."""
    facts = evidence.facts
    if facts.total_steps is not None and facts.target_update_interval:
        return _few_targets(evidence, facts.total_steps, facts.target_update_interval)
    if facts.total_steps is None or not facts.rollout_steps or not facts.num_envs:
        raise NotJudged("needs total_timesteps, num_steps and num_envs")
    rollout, returns = facts.rollout_steps * facts.num_envs, evidence.get(_RETURN)
    if median(np.diff(returns.steps, prepend=0)) < 0.5 * rollout:  # another setting of that name
        raise NotJudged("needs rollouts of num_steps · num_envs steps; the rows of the run are shorter")
    updates = max(1, int(facts.total_steps / rollout))
    if updates >= threshold or evidence.does_well:
        return None
    run = _counted(facts.total_steps, "step")
    message = f"A run of {run}, {rollout:,.0f} in a rollout, has {_counted(updates, 'update')} in all"
    causes = ("rollout_long", "training_short") if rollout > _USUAL_ROLLOUT else ("training_short", "rollout_long")
    if _has_risen(returns):
        message = f"{message}; the return has risen, and more of them may bring more."
        return Verdict(message, causes, evidence.span, [_RETURN], "info")
    return Verdict(f"{message}, too few to learn from.", causes, evidence.span, [_RETURN])


def _few_targets(evidence: Evidence, total: float, interval: float) -> Verdict | None:
    updates = int(total / interval)
    if updates >= _LEAST_TARGETS or evidence.does_well:
        return None
    due = "step" if interval == 1 else f"{interval:,.0f} steps"
    message = (
        f"A run of {_counted(total, 'step')} has {_counted(updates, 'update')} of its target network, "
        f"which is due every {due}."
    )
    returns = evidence.find(_RETURN)
    severity: Severity = "info" if returns is not None and _has_risen(returns) else "warning"
    return Verdict(message, ("target_update_late",), evidence.span, [_RETURN], severity)


def _counted(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}{'s' * (number != 1)}" if number else f"no {noun}"


def _has_risen(returns: Series) -> bool:
    """Whether the return has grown by half: a trend, which knows its own noise, needs more points."""
    first, last = float(returns.values[0]), float(returns.values[-1])
    return last - first > _RISEN * abs(first)
