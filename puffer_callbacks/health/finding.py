"""What a diagnosis consists of."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


class Number(NamedTuple):
    """One number that a finding rests on.

    Args:
        tag: its series.
        value: the number.
        step: where it was seen.
    """

    tag: str
    value: float
    step: int


@dataclass(frozen=True)
class Finding:
    """One trouble of a run.

    Args:
        rule: the rule that found it.
        severity: ``"info"``, ``"warning"`` or ``"critical"``.
        message: what is the matter, in one or two sentences.
        causes: likely ones, the likeliest first.
        remedies: what to change, in the order of the causes.
        evidence: the numbers that it rests on.
        first_step: where it began.
        last_step: where it was last seen.
        consequences: findings that follow from this one.

    Example:
        >>> finding = Finding("kl_large", "warning", "The policy moves too far.", ("the learning rate is too high",),
        ...                   ("lower the learning rate",), (Number("diagnostics/approx_kl", 0.5, 200),), 100, 200)
        >>> finding.to_dict()["evidence"]
        [{'tag': 'diagnostics/approx_kl', 'value': 0.5, 'step': 200}]
    """

    rule: str
    severity: Severity
    message: str
    causes: tuple[str, ...]
    remedies: tuple[str, ...]
    evidence: tuple[Number, ...]
    first_step: int
    last_step: int
    consequences: "tuple[Finding, ...]" = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain dicts, lists, strings and numbers."""
        plain = asdict(self)
        plain["evidence"] = [number._asdict() for number in self.evidence]
        plain["consequences"] = [finding.to_dict() for finding in self.consequences]
        return plain


@dataclass(frozen=True)
class Diagnosis:
    """What was found in a run, and what could be judged at all.

    Args:
        findings: the gravest first.
        judged: rules that had the evidence they need; one that found nothing found nothing wrong.
        not_judged: the other rules, each with the reason.
    """

    findings: tuple[Finding, ...] = ()
    judged: tuple[str, ...] = ()
    not_judged: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The contract's fields of ``diagnose --json``."""
        return {
            "findings": [finding.to_dict() for finding in self.findings],
            "judged": list(self.judged),
            "not_judged": dict(self.not_judged),
        }
