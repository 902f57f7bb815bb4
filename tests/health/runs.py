"""Runs worked out by hand: 100 points, at steps 1000, 2000, …, 100000."""

from typing import Any

import numpy as np

from puffer_callbacks.health import Diagnosis, Facts, Finding, diagnose

STEPS = np.arange(1_000, 101_000, 1_000)
RISING = np.linspace(20, 400, 100)
FLAT = 20 + 2 * np.sin(np.arange(100.0))
"""Returns of a run that learns, and of one that does not."""


def constant(value: float) -> Any:
    return np.full(100, value)


def step_at(step: int, before: float, after: float) -> Any:
    return np.where(step > STEPS, before, after).astype(float)


def judged(facts: Facts | None = None, **series: Any) -> Diagnosis:
    """The diagnosis of series by tag, with ``__`` for ``/`` and ``_dot_`` for a dot."""
    named = {tag.replace("__", "/").replace("_dot_", "."): values for tag, values in series.items()}
    return diagnose({tag: (STEPS[: len(values)], np.asarray(values, float)) for tag, values in named.items()}, facts)


def found(rule: str, facts: Facts | None = None, **series: Any) -> Finding | None:
    """The finding of a rule, as a root or as a consequence; the rule has to have been judged."""
    diagnosis = judged(facts, **series)
    assert rule in diagnosis.judged, diagnosis.not_judged.get(rule, "no such rule")
    everything = [f for root in diagnosis.findings for f in (root, *root.consequences)]
    return next((finding for finding in everything if finding.rule == rule), None)
