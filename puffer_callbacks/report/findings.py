"""The findings of the health rules as HTML, with links to the curves that are their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from puffer_callbacks.plots.style import short_number

if TYPE_CHECKING:
    from puffer_callbacks.health import Finding, Number

_ORDER = {"critical": 0, "warning": 1, "info": 2}


def findings_html(findings: Sequence[Sequence[Finding]] | None, names: Sequence[str]) -> str:
    """A section with a card for each finding, the gravest first; nothing where no rule was asked.

    Args:
        findings: of each run, in the order of the runs.
        names: of the runs.
    """
    if findings is None:
        return ""
    every = [(finding, name) for name, each in zip(names, findings, strict=True) for finding in each]
    every.sort(key=lambda pair: (_ORDER.get(pair[0].severity, 3), pair[0].first_step))
    cards = "".join(_card(finding, name if len(names) > 1 else "") for finding, name in every)
    none = '<p class="muted">The health rules found nothing in what was logged.</p>'
    return f'<h2 id="findings">Findings</h2>{f"<div class=findings>{cards}</div>" if cards else none}'


def _card(finding: Finding, run: str) -> str:
    where = f"steps {short_number(finding.first_step)} to {short_number(finding.last_step)}"
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
