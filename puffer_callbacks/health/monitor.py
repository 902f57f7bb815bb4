"""A run in progress, judged again and again."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from puffer_callbacks.health.diagnosis import diagnose
from puffer_callbacks.health.facts import Facts
from puffer_callbacks.health.finding import SEVERITIES, Diagnosis, Finding, Severity
from puffer_callbacks.health.history import History
from puffer_callbacks.health.rule import Rule
from puffer_callbacks.health.rules import RULES
from puffer_callbacks.health.tracker import Change, Tracker


class Monitor:
    """Takes the rows of a run as they come, and reports each trouble once when it begins and once when it ends.

    Args:
        facts: what is known of the run.
        rules: those to apply.
        thresholds: rule to the threshold in place of its own.

    Example:
        >>> monitor = Monitor()
        >>> for step in range(100, 2000, 100):
        ...     monitor.log_values({"train/learning_rate": 0.0}, step)
        >>> [(change.kind, change.finding.rule) for change in monitor.judge()]
        [('begins', 'learning_rate_zero')]
        >>> monitor.judge()
        []
    """

    def __init__(
        self,
        facts: Facts | None = None,
        *,
        rules: Iterable[Rule] = RULES,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self.facts = facts or Facts()
        self.diagnosis = Diagnosis()
        """The latest verdict."""
        self._rules, self._thresholds = tuple(rules), dict(thresholds or {})
        self._history, self._tracker = History(), Tracker()
        self._found_at_once: set[str] = set()

    @property
    def findings(self) -> list[Finding]:
        """Every trouble so far, those that have ended included; the gravest first."""
        return self._tracker.findings

    def log_values(self, values: Mapping[str, Any], step: int) -> None:
        """Add a row under the tags of this package."""
        self._history.log_values(values, step)

    def end(self, values: Mapping[str, Any], step: int, *, error: str | None = None) -> None:
        """Before the last verdict: the run has ended.

        Args:
            values: the row that is not written yet.
            step: where it stands.
            error: what ended the run, if that was an error.
        """
        self.facts = replace(self.facts, error=error, in_progress=None)
        self.log_values(values, step)

    def unseen(self, values: Mapping[str, float]) -> dict[str, float]:
        """Those of the values whose tags no row had, before a resume either."""
        seen = self._history.series
        return {tag: value for tag, value in values.items() if tag not in seen}

    def judge(self) -> list[Change]:
        """Judge the run so far, and return what is new."""
        self.diagnosis = diagnose(self._history.series, self.facts, rules=self._rules, thresholds=self._thresholds)
        return self._tracker.update(self.diagnosis, step=self._history.last_step)

    def finds_anew(self) -> bool:
        """Whether one of the rules that cost little finds what it did not at the last call: time for a verdict.

        Verdicts are ever rarer, and few rules are exact and cheap enough to be applied more often. Before the first
        verdict it is too early.
        """
        if not self.diagnosis.judged:
            return False
        before, self._found_at_once = self._found_at_once, {each.name for each in self._rules if self._finds(each)}
        return bool(self._found_at_once - before)

    def _finds(self, rule: Rule) -> bool:
        if rule.reads is None:
            return False
        diagnosis = diagnose(self._history.series_under(rule.reads), self.facts, rules=[rule])
        return bool(diagnosis.findings)

    def scalars(self) -> dict[str, float]:
        """``health/<rule>``, 1 while it finds trouble and 0 after, and ``health/findings``, how many do."""
        rules = self._tracker.rules
        return {
            "health/findings": float(sum(rules.values())),
            **{f"health/{rule}": float(active) for rule, active in rules.items()},
        }

    def has(self, severity: Severity) -> bool:
        """Whether a trouble of this severity, or a graver one, has not ended."""
        limit = SEVERITIES.index(severity)
        return any(SEVERITIES.index(finding.severity) >= limit for finding in self._tracker.active)

    def troubles(self) -> dict[str, Any]:
        """What was reported so far, as JSON has it."""
        return self._tracker.state_dict()

    def load_troubles(self, state: dict[str, Any]) -> None:
        """Continue after what was reported."""
        self._tracker.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """The series and the troubles, for a checkpoint."""
        return {"history": self._history.state_dict(), "tracker": self._tracker.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._history.load_state_dict(state["history"])
        self._tracker.load_state_dict(state["tracker"])
