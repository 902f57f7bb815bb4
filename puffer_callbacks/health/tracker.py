"""The troubles of a run in progress: which one begins, which one ends."""

import math
from typing import Any, Literal, NamedTuple

from puffer_callbacks.health.finding import SEVERITIES, Diagnosis, Finding, Number

_ENDS_AFTER = 2
"""Diagnoses in a row without it, after which a trouble has ended: some come and go at a threshold."""


class Change(NamedTuple):
    """What is new about a trouble.

    Args:
        kind: ``"begins"``, or ``"ends"``.
        finding: the trouble, as it stands.
    """

    kind: Literal["begins", "ends"]
    finding: Finding


class Tracker:
    """Compares each diagnosis of a run with the one before, so that a trouble is reported once, and its end once.

    One that becomes graver than before is reported again. A trouble ends when two diagnoses in a row do not find it
    any more, or find that neither it nor what it brings was seen since the one before. One that turns out to follow
    from another is a part of that one from then on, and does not end by itself.

    Example:
        >>> finding = Finding("kl_large", "warning", "", (), (), (), first_step=100, last_step=200)
        >>> tracker = Tracker()
        >>> [change.kind for change in tracker.update(Diagnosis((finding,)), step=200)]
        ['begins']
        >>> tracker.update(Diagnosis((finding,)), step=300), len(tracker.findings)
        ([], 1)
        >>> [change.kind for step in (400, 500) for change in tracker.update(Diagnosis((finding,)), step=step)]
        ['ends']
    """

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}
        self._missing: dict[str, int] = {}
        self._gravest: dict[str, int] = {}
        self._step: float = -math.inf

    @property
    def findings(self) -> list[Finding]:
        """Every trouble so far, those that have ended included; the gravest first."""
        return sorted(self._found.values(), key=lambda found: (-SEVERITIES.index(found.severity), found.first_step))

    @property
    def active(self) -> list[Finding]:
        """Those that have not ended."""
        return [finding for finding in self.findings if finding.rule in self._missing]

    @property
    def rules(self) -> dict[str, bool]:
        """Every rule that has found something so far, and whether it still does."""
        return {rule: rule in self._missing for rule in self._found}

    def update(self, diagnosis: Diagnosis, *, step: int) -> list[Change]:
        """Compare with the diagnosis before.

        Args:
            diagnosis: of the run so far.
            step: where the run is.

        Returns:
            The troubles that begin, then those that end.
        """
        roots = {finding.rule: finding for finding in diagnosis.findings}
        explained = {inner.rule for finding in diagnosis.findings for inner in finding.consequences}
        seen = {rule: finding for rule, finding in roots.items() if _last_step(finding) >= self._step}
        begun = [finding for rule, finding in seen.items() if rule not in self._missing or self._is_graver(finding)]
        self._gravest |= {finding.rule: SEVERITIES.index(finding.severity) for finding in begun}
        for rule in explained - roots.keys():  # it is a part of its cause
            self._found.pop(rule, None)
            self._missing.pop(rule, None)
        missing = {rule: 0 if rule in seen else self._missing[rule] + 1 for rule in {**seen, **self._missing}}
        ended = [rule for rule, count in missing.items() if count == _ENDS_AFTER]
        self._missing = {rule: count for rule, count in missing.items() if count < _ENDS_AFTER}
        self._found |= {rule: finding for rule, finding in roots.items() if rule in seen or rule in self._found}
        self._step = step
        changes = [Change("begins", finding) for finding in begun]
        return changes + [Change("ends", self._found[rule]) for rule in ended]

    def _is_graver(self, finding: Finding) -> bool:
        return SEVERITIES.index(finding.severity) > self._gravest.get(finding.rule, 0)

    def state_dict(self) -> dict[str, Any]:
        """The troubles, for a checkpoint."""
        found = [finding.to_dict() for finding in self._found.values()]
        return {"found": found, "missing": dict(self._missing), "gravest": dict(self._gravest), "step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._found = {each["rule"]: _finding(each) for each in state["found"]}
        self._missing, self._gravest, self._step = dict(state["missing"]), dict(state["gravest"]), state["step"]


def _last_step(finding: Finding) -> int:
    """The last step at which the trouble shows, in what it brings too: a policy stays broken after one step too far."""
    return max(each.last_step for each in (finding, *finding.consequences))


def _finding(plain: dict[str, Any]) -> Finding:
    return Finding(**plain | {
        "causes": tuple(plain["causes"]),
        "remedies": tuple(plain["remedies"]),
        "evidence": tuple(Number(**number) for number in plain["evidence"]),
        "consequences": tuple(_finding(each) for each in plain["consequences"]),
    })  # fmt: skip
