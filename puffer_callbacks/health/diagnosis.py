"""A run's series through every rule: one finding for one trouble."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from puffer_callbacks.health.causes import CAUSES
from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.facts import Facts
from puffer_callbacks.health.finding import SEVERITIES, Diagnosis, Finding
from puffer_callbacks.health.measured_causes import MeasuredCauses
from puffer_callbacks.health.rule import Rule, Verdict
from puffer_callbacks.health.rules import RULES
from puffer_callbacks.health.rules.symptoms import LEARNING


def diagnose(
    series: Mapping[str, tuple[Any, Any]],
    facts: Facts | None = None,
    *,
    rules: Iterable[Rule] = RULES,
    thresholds: Mapping[str, float] | None = None,
) -> Diagnosis:
    """Judge a run.

    Args:
        series: tag to (steps [n], values [n]), under the tags of this package, in any order.
        facts: what else is known of the run; the more, the more can be judged.
        rules: those to apply; a rule may explain those that come after it.
        thresholds: rule to the threshold in place of its own.

    Raises:
        ValueError: if a series has not as many values as steps.

    Example:
        >>> import numpy as np
        >>> steps = np.arange(100, 2000, 100)
        >>> found = diagnose({"train/learning_rate": (steps, np.zeros(19))})
        >>> [(finding.rule, finding.first_step) for finding in found.findings]
        [('learning_rate_zero', 100)]
    """
    evidence = Evidence(series, (facts or Facts()).completed(series))
    verdicts: list[tuple[Rule, Verdict]] = []
    judged, not_judged = [], {}
    for each in rules:
        try:
            verdict = each.apply(evidence, threshold=(thresholds or {}).get(each.name))
        except NotJudged as reason:
            not_judged[each.name] = str(reason)
            continue
        judged.append(each.name)
        if verdict is not None:
            verdicts.append((each, verdict))
    measured = MeasuredCauses(evidence)
    findings = [(rule, _finding(rule, verdict, evidence, measured)) for rule, verdict in verdicts]
    tolerance = int(evidence.burn_in) - evidence.first_step
    ordered = sorted(
        _explained(findings, tolerance), key=lambda finding: (-SEVERITIES.index(finding.severity), finding.first_step)
    )
    return Diagnosis(tuple(ordered), tuple(judged), not_judged)


def _finding(rule: Rule, verdict: Verdict, evidence: Evidence, measured: MeasuredCauses) -> Finding:
    first, last = verdict.span
    causes = [CAUSES[name] for name in measured.order(verdict.causes)]
    return Finding(
        rule=rule.name,
        severity=verdict.severity or rule.severity,
        message=verdict.message,
        causes=tuple(cause.text for cause in causes),
        remedies=measured.remedies(causes),
        evidence=evidence.numbers(verdict.tags, last if verdict.seen_at is None else verdict.seen_at),
        first_step=first,
        last_step=last,
    )


def _explained(findings: list[tuple[Rule, Finding]], tolerance: int) -> list[Finding]:
    """The findings that no earlier one explains, each with all that it does.

    Onsets are as exact as the points of a series are dense, so a symptom may seem to begin a little before its cause;
    and a return that does not rise seems to do so from the beginning, whatever holds it down later.
    """
    roots: list[Finding] = []
    consequences: dict[str, list[Finding]] = {}
    root_of: dict[str, str] = {}
    for at, (rule, finding) in enumerate(findings):
        causes = (
            cause.name
            for cause, found in findings[:at]
            if ("*" in cause.explains or rule.name in cause.explains)
            and (found.severity != "info" or finding.severity == "info")  # what is no alarm hides none
            and (rule.name in LEARNING or found.first_step <= finding.first_step + tolerance)
        )
        cause = next(causes, None)
        root_of[rule.name] = rule.name if cause is None else root_of[cause]
        if cause is None:
            roots.append(finding)
        else:
            consequences.setdefault(root_of[cause], []).append(finding)
    return [replace(root, consequences=tuple(consequences.get(root.rule, ()))) for root in roots]
