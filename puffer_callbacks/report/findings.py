"""The findings of the health rules as HTML, with links to the curves that are their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from puffer_callbacks.plots.style import short_number

if TYPE_CHECKING:
    from puffer_callbacks.health import Diagnosis, Finding, Number

_ORDER = {"critical": 0, "warning": 1, "info": 2}


def findings_html(diagnoses: Sequence[Diagnosis] | None, names: Sequence[str]) -> str:
    """A section with a card for each finding, the gravest first; empty where no rule was asked.

    Below them stand the rules that lack data: nothing found is not healthy.

    Args:
        diagnoses: of each run, in the order of the runs.
        names: of the runs.
    """
    if diagnoses is None:
        return ""
    every = [(finding, name) for name, each in zip(names, diagnoses, strict=True) for finding in each.findings]
    every.sort(key=lambda pair: (_ORDER.get(pair[0].severity, 3), pair[0].first_step))
    cards = "".join(_card(finding, name if len(names) > 1 else "") for finding, name in every)
    found = f'<div class="findings">{cards}</div>' if cards else f'<p class="muted">{nothing_found(diagnoses)}</p>'
    not_judged = _not_judged(diagnoses[0]) if len(diagnoses) == 1 else ""
    return f'<h2 id="findings">Findings</h2>{found}{not_judged}'


def nothing_found(diagnoses: Sequence[Diagnosis]) -> str:
    """A sentence for runs without a finding: how many rules could be applied, since nothing found is not healthy."""
    judged = [len(each.judged) for each in diagnoses]
    fewest, most, rules = min(judged), max(judged), max(map(_rules, diagnoses))
    if not most:
        return f"None of the {rules} health rules could be applied to what was logged."
    applied = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return f"{applied} of the {rules} health rules could be applied, and found nothing."


def _not_judged(diagnosis: Diagnosis) -> str:
    """The rules that lack data, each with the reason, folded."""
    rows = "".join(
        f"<dt>{escape(rule.replace('_', ' '))}</dt><dd>{escape(reason)}</dd>"
        for rule, reason in diagnosis.not_judged.items()
    )
    summary = f"Not applied: {len(diagnosis.not_judged)} of {_rules(diagnosis)} health rules"
    return f'<details><summary>{summary}</summary><dl class="rules">{rows}</dl></details>' if rows else ""


def _rules(diagnosis: Diagnosis) -> int:
    return len(diagnosis.judged) + len(diagnosis.not_judged)


def _card(finding: Finding, run: str) -> str:
    first, last = short_number(finding.first_step), short_number(finding.last_step)
    where = f"step {first}" if first == last else f"steps {first} to {last}"
    rows = [
        ("causes", _list("ol", finding.causes)),
        ("remedies", _list("ul", finding.remedies)),
        ("followed by", _list("ul", [each.message for each in finding.consequences])),
        ("evidence", "<br>".join(_evidence(number) for number in finding.evidence)),
    ]
    details = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows if value)
    return (
        f'<article class="finding {escape(finding.severity)}"><h3>{escape(finding.rule.replace("_", " "))}'
        f"<span>{escape(finding.severity)}</span><small>{escape(f'{run} · {where}' if run else where)}</small></h3>"
        f"<p>{escape(finding.message)}</p><dl>{details}</dl></article>"
    )


def _list(kind: str, texts: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<{kind}>{items}</{kind}>" if items else ""


def _evidence(number: Number) -> str:
    tag = escape(number.tag)
    return f'<a href="#chart-{tag}" data-tag="{tag}">{tag}</a> = {number.value:.4g} at step {short_number(number.step)}'
