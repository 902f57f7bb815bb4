"""A rule: what it looks at, what it finds, and what follows from that."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple

from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.finding import Number, Severity


class Verdict(NamedTuple):
    """What a rule found.

    Args:
        message: what is the matter.
        causes: keys of ``causes.CAUSES``, the likeliest first.
        first_step: where it began.
        last_step: where it was last seen.
        numbers: what it rests on.
        severity: instead of the rule's own.
    """

    message: str
    causes: tuple[str, ...]
    first_step: int
    last_step: int
    numbers: tuple[Number, ...] = ()
    severity: Severity | None = None


Check = Callable[..., Verdict | None]
"""Called with the evidence and, where the rule has one, its threshold."""


@dataclass(frozen=True)
class Rule:
    """A rule.

    Args:
        name: unique, as in ``health/<name>``.
        check: returns what it found, or ``None``; raises ``NotJudged`` where evidence is missing.
        severity: of its finding.
        source: where the rule comes from.
        explains: names of rules whose findings follow from this one's, where they begin no earlier; ``"*"`` for all.
        threshold: the number that decides, where users may change it; its unit is in the check's description.
    """

    name: str
    check: Check
    severity: Severity
    source: str
    explains: tuple[str, ...] = ()
    threshold: float | None = None

    @property
    def description(self) -> str:
        """What it looks at, in one line."""
        return (self.check.__doc__ or "").strip().split("\n")[0]

    def apply(self, evidence: Evidence, *, threshold: float | None = None) -> Verdict | None:
        """What the rule finds.

        Args:
            evidence: the run.
            threshold: in place of the rule's own.

        Raises:
            NotJudged: if evidence is missing.
        """
        if self.threshold is None:
            return self.check(evidence)
        return self.check(evidence, self.threshold if threshold is None else threshold)

    def __reduce__(self) -> tuple[Callable[[str, str], "Rule"], tuple[str, str]]:
        return _named_rule, (self.check.__module__, self.check.__qualname__)  # where the rule has taken its place


def _named_rule(module: str, name: str) -> Rule:
    rule: Rule = getattr(import_module(module), name)
    return rule


def rule(
    name: str, *, severity: Severity, source: str, explains: tuple[str, ...] = (), threshold: float | None = None
) -> Callable[[Check], Rule]:
    """Decorate a check, which makes it a ``Rule``.

    Args:
        name: of the rule.
        severity: ``"info"``, ``"warning"`` or ``"critical"``.
        source: a paper, page or report.
        explains: rules that this one explains.
        threshold: passed to the check as its second argument.
    """
    return lambda check: Rule(name, check, severity, source, explains, threshold)
