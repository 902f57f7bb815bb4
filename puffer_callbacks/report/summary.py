"""What happened, in one paragraph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from puffer_callbacks.plots.statistics import bootstrap_interval, interquartile_mean
from puffer_callbacks.plots.style import short_number
from puffer_callbacks.report.findings import nothing_found
from puffer_callbacks.report.outcome import PART, Outcome
from puffer_callbacks.values.durations import duration

if TYPE_CHECKING:
    from puffer_callbacks.health import Diagnosis

_SEVERITIES = {"critical": "critical finding", "warning": "warning", "info": "note"}


def describe_run(outcome: Outcome, diagnosis: Diagnosis | None) -> str:
    """The outcome of one run as a paragraph."""
    on = f" on {outcome.environment}" if outcome.environment else ""
    seconds = f" in {duration(outcome.seconds)}" if outcome.seconds > 0 else ""
    speed = f", at {short_number(outcome.speed)} steps per second" if outcome.speed > 0 else ""
    sentences = [f"The run trained{on} for {short_number(outcome.steps)} {outcome.steps_name}{seconds}{speed}."]
    if not math.isnan(outcome.final_return):
        best = f"the best was {short_number(outcome.best_return)}, at step {short_number(outcome.best_step)}"
        sentences.append(f"The mean return {_course(outcome)}; {best}.")
    if not math.isnan(outcome.episode_length):
        sentences.append(f"Episodes took {short_number(outcome.episode_length)} steps at the end.")
    return " ".join([*sentences, *_warnings(outcome), *_verdict(None if diagnosis is None else [diagnosis])])


def describe_runs(
    outcomes: Sequence[Outcome],
    differing: Sequence[str],
    diagnoses: Sequence[Diagnosis] | None,
    groups: Mapping[str, Sequence[Outcome]] | None = None,
) -> str:
    """The outcomes of several runs as a paragraph.

    Args:
        outcomes: of each run.
        differing: the hyperparameters that differ.
        diagnoses: of each run; ``None`` where no rule was asked.
        groups: name to outcomes of the runs that differ in the seed alone. Where each run is in one, groups are
            compared, as the best of many runs is a matter of luck.
    """
    environments = ", ".join(dict.fromkeys(each.environment for each in outcomes if each.environment))
    sentence = f"{len(outcomes)} runs"
    if environments:
        sentence += f" on {environments}"
    if differing:
        sentence += f", which differ in {', '.join(differing[:5])}"
    if len(differing) > 5:
        sentence += " and more"
    sentences = [f"{sentence}."]
    known = [outcome for outcome in outcomes if not math.isnan(outcome.final_return)]
    if known and sum(map(len, (groups or {}).values())) == len(known) == len(outcomes):
        middle = "The interquartile mean over seeds of the return in the last tenth"
        sentences.append(f"{middle} was {_ranking_of_groups(groups or {})}.")
    elif known:
        sentences.append(f"The mean return of the last tenth was {_ranking(known)}.")
    shortest, longest = (choose(outcome.steps for outcome in outcomes) for choose in (min, max))
    if shortest < (1 - PART) * longest:
        sentences.append(f"Some runs are shorter: {short_number(shortest)} to {short_number(longest)} steps.")
    return " ".join([*sentences, *_verdict(diagnoses)])


def _ranking(known: Sequence[Outcome]) -> str:
    best = max(known, key=lambda each: each.final_return)
    worst = min(known, key=lambda each: each.final_return)
    highest, lowest = short_number(best.final_return), short_number(worst.final_return)
    if best.final_return == worst.final_return:
        return f"{highest} in {best.name if len(known) == 1 else 'each'}"
    return f"highest in {best.name} ({highest}) and lowest in {worst.name} ({lowest})"


def _ranking_of_groups(groups: Mapping[str, Sequence[Outcome]]) -> str:
    """The interquartile mean of each group's returns with its interval; of several the highest and the lowest."""
    returns = {name: [each.final_return for each in members] for name, members in groups.items()}
    ranked = sorted(returns, key=lambda name: interquartile_mean(returns[name]), reverse=True)
    shown = []
    for name in dict.fromkeys((ranked[0], ranked[-1])):
        middle, (low, high) = interquartile_mean(returns[name]), bootstrap_interval(interquartile_mean, returns[name])
        interval = f"{short_number(low)} to {short_number(high)}"
        shown.append((name, f"{short_number(middle)} (95 % bootstrap interval {interval}, {len(returns[name])} runs)"))
    if len(shown) == 1:
        return shown[0][1]
    return f"highest with {shown[0][0]}: {shown[0][1]}, and lowest with {shown[1][0]}: {shown[1][1]}"


def _course(outcome: Outcome) -> str:
    first, final = short_number(outcome.first_return), short_number(outcome.final_return)
    change = abs(outcome.final_return - outcome.first_return)
    if change <= 0.05 * max(abs(outcome.final_return), abs(outcome.first_return)):
        return f"stayed near {final}"
    verb = "rose" if outcome.final_return > outcome.first_return else "fell"
    return f"{verb} from {first} over the first tenth of the run to {final} over the last"


def _warnings(outcome: Outcome) -> list[str]:
    found = []
    if outcome.restarts:
        before, after = map(short_number, outcome.restarts[-1])
        times = f" {len(outcome.restarts)} times, at last" if len(outcome.restarts) > 1 else ""
        found.append(f"The steps go back{times} from {before} to {after}; of what was logged twice, the last is shown.")
    if outcome.nonfinite:
        shown, more = ", ".join(outcome.nonfinite[:3]), len(outcome.nonfinite) - 3
        found.append(f"NaN or infinite values appear in {shown}{f' and {more} more' if more > 0 else ''}.")
    return found


def _verdict(diagnoses: Sequence[Diagnosis] | None) -> list[str]:
    if diagnoses is None:
        return []
    findings = [finding for diagnosis in diagnoses for finding in diagnosis.findings]
    if not findings:
        return [nothing_found(diagnoses)]
    counts = {name: sum(finding.severity == kind for finding in findings) for kind, name in _SEVERITIES.items()}
    listed = ", ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count)
    rules = ", ".join(dict.fromkeys(finding.rule.replace("_", " ") for finding in findings))
    return [f"The health rules report {listed}: {rules}."]
