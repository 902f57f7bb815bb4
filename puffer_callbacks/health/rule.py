"""A rule: what it looks at, what it finds, and what follows from that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.finding import Severity


class Verdict(NamedTuple):
    """What a rule found.

    Args:
        message: what is the matter.
        causes: keys of ``causes.CAUSES``, the likeliest first.
        span: the steps at which it began and was last seen.
        tags: of the series that it rests on.
        severity: instead of the rule's own.
        seen_at: the step whose values are shown, the last one where it is left out.
    """

    message: str
    causes: tuple[str, ...]
    span: tuple[int, int]
    tags: Sequence[str] = ()
    severity: Severity | None = None
    seen_at: int | None = None


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
        reads: what the tags of all series that it reads begin with, of a rule that is cheap enough to be applied
            between verdicts.
    """

    name: str
    check: Check
    severity: Severity
    source: str
    explains: tuple[str, ...] = ()
    threshold: float | None = None
    reads: str | None = None

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

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by the name of its check, under which the module has the rule in the function's place."""
        settings = self.severity, self.source, self.explains, self.threshold, self.reads
        return _unpickled, (self.check.__module__, self.check.__name__, self.name, *settings)


def rule(
    name: str,
    *,
    severity: Severity,
    source: str,
    explains: tuple[str, ...] = (),
    threshold: float | None = None,
    reads: str | None = None,
) -> Callable[[Check], Rule]:
    """Decorate a check, which makes it a ``Rule``.

    Args:
        name: of the rule.
        severity: ``"info"``, ``"warning"`` or ``"critical"``.
        source: a paper, page or report.
        explains: rules that this one explains.
        threshold: passed to the check as its second argument.
        reads: what the tags that it reads begin with, where it may be applied between verdicts.
    """
    return lambda check: Rule(name, check, severity, source, explains, threshold, reads)


def _unpickled(module: str, check: str, name: str, *settings: Any) -> Rule:
    found = getattr(import_module(module), check)
    return Rule(name, found.check if isinstance(found, Rule) else found, *settings)
