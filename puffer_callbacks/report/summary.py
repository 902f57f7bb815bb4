"""What happened, in one paragraph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from puffer_callbacks.plots.style import short_number
from puffer_callbacks.report.findings import nothing_found
from puffer_callbacks.report.outcome import Outcome
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


def describe_runs(outcomes: Sequence[Outcome], differing: Sequence[str], diagnoses: Sequence[Diagnosis] | None) -> str:
    """The outcomes of several runs as a paragraph; ``differing`` names the hyperparameters that differ."""
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
    if known:
        sentences.append(f"The mean return of the last tenth was {_ranking(known)}.")
    return " ".join([*sentences, *_verdict(diagnoses)])


def _ranking(known: Sequence[Outcome]) -> str:
    best = max(known, key=lambda each: each.final_return)
    worst = min(known, key=lambda each: each.final_return)
    highest, lowest = short_number(best.final_return), short_number(worst.final_return)
    if best.final_return == worst.final_return:
        return f"{highest} in {best.name if len(known) == 1 else 'each'}"
    return f"highest in {best.name} ({highest}) and lowest in {worst.name} ({lowest})"


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
