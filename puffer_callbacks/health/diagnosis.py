"""A run's series through every rule: one finding for one trouble."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from puffer_callbacks.health.causes import CAUSES
from puffer_callbacks.health.evidence import Evidence, NotJudged
from puffer_callbacks.health.facts import Facts
from puffer_callbacks.health.finding import SEVERITIES, Diagnosis, Finding
from puffer_callbacks.health.rule import Rule, Verdict
from puffer_callbacks.health.rules import RULES


def diagnose(
    series: Mapping[str, tuple[Any, Any]], facts: Facts | None = None, *, rules: Iterable[Rule] = RULES
) -> Diagnosis:
    """Judge a run.

    Args:
        series: tag to (steps [n], values [n]), under the tags of this package.
        facts: what else is known of the run; the more, the more can be judged.
        rules: those to apply; a rule may explain others, and the first of two that do comes first.

    Example:
        >>> import numpy as np
        >>> steps = np.arange(100, 2000, 100)
        >>> found = diagnose({"train/learning_rate": (steps, np.zeros(19))})
        >>> [(finding.rule, finding.first_step) for finding in found.findings]
        [('learning_rate_zero', 100)]
    """
    evidence = Evidence(series, facts or Facts())
    findings: list[tuple[Rule, Finding]] = []
    judged, not_judged = [], {}
    for each in rules:
        try:
            verdict = each.check(evidence)
        except NotJudged as reason:
            not_judged[each.name] = str(reason)
            continue
        judged.append(each.name)
        if verdict is not None:
            findings.append((each, _finding(each, verdict)))
    ordered = sorted(
        _explained(findings, evidence.burn_in - evidence.first_step),
        key=lambda finding: -SEVERITIES.index(finding.severity),
    )
    return Diagnosis(tuple(ordered), tuple(judged), not_judged)


def _finding(rule: Rule, verdict: Verdict) -> Finding:
    causes = [CAUSES[name] for name in verdict.causes]
    return Finding(
        rule=rule.name,
        severity=verdict.severity or rule.severity,
        message=verdict.message,
        causes=tuple(cause.text for cause in causes),
        remedies=tuple(dict.fromkeys(cause.remedy for cause in causes)),
        evidence=verdict.numbers,
        first_step=verdict.first_step,
        last_step=verdict.last_step,
    )


def _explained(findings: list[tuple[Rule, Finding]], tolerance: float) -> list[Finding]:
    """The findings that no other explains, each with those that it does; an earlier rule comes first.

    Onsets are as exact as the points of a series are dense, so a symptom may seem to begin a little before its cause.
    """
    roots: list[tuple[Rule, Finding]] = []
    explained: dict[str, list[Finding]] = {}
    for rule, finding in findings:
        parent = next((root for root in findings if _explains(root, (rule, finding), findings, tolerance)), None)
        if parent is None:
            roots.append((rule, finding))
        else:
            explained.setdefault(parent[0].name, []).append(finding)
    return [replace(finding, consequences=tuple(_below(rule.name, explained))) for rule, finding in roots]


def _explains(root: tuple[Rule, Finding], other: tuple[Rule, Finding], findings: list[tuple[Rule, Finding]]) -> bool:
    (rule, cause), (explained, symptom) = root, other
    if rule is explained or not ("*" in rule.explains or explained.name in rule.explains):
        return False
    mutual = "*" in explained.explains or rule.name in explained.explains
    first = findings.index(root) < findings.index(other)
    return cause.first_step <= symptom.first_step + tolerance and (first or not mutual)


def _below(name: str, explained: Mapping[str, list[Finding]]) -> list[Finding]:
    found = []
    for finding in explained.get(name, []):
        found += [finding, *_below(finding.rule, explained)]
    return found
