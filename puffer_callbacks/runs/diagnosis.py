"""The rules of ``puffer_callbacks.health`` on a run that was read back."""

from dataclasses import replace

from puffer_callbacks.health import Diagnosis, Facts, diagnose
from puffer_callbacks.runs.order import ordered
from puffer_callbacks.runs.run import Run
from puffer_callbacks.runs.sources import OURS
from puffer_callbacks.values.self_logged import NAMES


def diagnose_run(run: Run) -> Diagnosis:
    """Judge a run by its log, whoever wrote it.

    Args:
        run: as ``read_run`` returns it.

    Returns:
        What was found, what could be judged, and what could not, with the reason.

    Example:
        >>> from pathlib import Path
        >>> from puffer_callbacks.runs.contents import Contents
        >>> contents = Contents()
        >>> for step in range(100, 2000, 100):
        ...     contents.column("train/learning_rate").add(step, 0.0)
        >>> [finding.rule for finding in diagnose_run(Run(Path("logs"), "csv", contents)).findings]
        ['learning_rate_zero']
    """
    own = {name: run.series(name) for name in run.tags if name in NAMES and run.source == OURS}
    return diagnose({tag: ordered(series) for tag, series in {**own, **run.canonical}.items()}, facts_of_log(run))


def facts_of_log(run: Run) -> Facts:
    """The facts from the hyperparameters in the log; the steps to come only where the log counts environment steps."""
    endings = run.text.get("run/ended_by", [])
    facts = Facts.of(run.hyperparameters, error=endings[-1][1] if endings else None)
    return facts if run.x_axis == "env_steps" else replace(facts, total_steps=None)
