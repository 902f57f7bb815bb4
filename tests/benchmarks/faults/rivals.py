"""Doctors from PyPI on the same recorded runs: ``pip install zen-rl rlwatch``, then ``… faults rivals DIR``.

zen-rl reads the tags of Stable-Baselines3's TensorBoard log, and rlwatch takes a mapping a step; both are given the
recorded series under their names. rlprobe reads nothing but its own recordings of language models' samples. What they
advise is mapped to our causes generously: any cause that an advice could mean counts.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.faults.judge import is_healthy
from tests.benchmarks.faults.record import RecordedRun, Series

Judge = Callable[[RecordedRun], list[str]]
"""A run to what was found, in the rival's order."""

_RATES = {"learning_rate_high", "learning_rate_low", "learning_rate_zero"}
_NONFINITE = {f"nonfinite_{name}" for name in ("observation", "reward", "activation", "loss", "gradient", "weight")}
MEANS: dict[str, set[str]] = {
    "LR_TOO_HIGH": {"learning_rate_high"},
    "POLICY_COLLAPSE": {"learning_rate_high", "entropy_coefficient_low", "entropy_sign"},
    "ADVANTAGE_NOT_NORMALIZED": {"reward_scale_large"},
    "DEAD_RUN": _RATES,
    "CAPPED_PERFORMANCE": {"entropy_coefficient_high"},
    "entropy_collapse": {"learning_rate_high", "entropy_coefficient_low", "entropy_sign"},
    "kl_explosion": {"learning_rate_high", "no_clipping"},
    "reward_hacking": {"reward_scale_large"},
    "advantage_variance": {"reward_scale_large"},
    "loss_nan": _NONFINITE,
    "gradient_norm_spike": {"learning_rate_high", "no_clipping"},
    "reward_mean_drift": _RATES,
}
"""A rival's finding to the causes that its advice could mean."""


def zen(run: RecordedRun) -> list[str]:
    """What zen-rl finds, in the order of its report."""
    from zen.detect.rules import detect
    from zen.vlak import group, rank

    names = {
        "train/approx_kl": ("diagnostics/approx_kl", 1.0),
        "train/entropy_loss": ("train/entropy", -1.0),
        "train/policy_gradient_loss": ("train/policy_loss", 1.0),
        "rollout/ep_rew_mean": ("train/reward", 1.0),
    }
    given = {
        theirs: list(zip(run.series[ours][0].tolist(), (sign * run.series[ours][1]).tolist(), strict=True))
        for theirs, (ours, sign) in names.items()
        if ours in run.series
    }
    return [issue["mode"] for issue in group(rank(detect(given)))]


def rlwatch(run: RecordedRun) -> list[str]:
    """What rlwatch finds, step by step."""
    from rlwatch.config import RLWatchConfig
    from rlwatch.detectors import DetectorSuite

    names = {
        "entropy": "train/entropy",
        "kl_divergence": "diagnostics/approx_kl",
        "reward_mean": "train/reward",
        "advantage_std": "diagnostics/advantage_std",
        "loss": "train/loss",
        "grad_norm": "gradient_norm/total",
    }
    suite, found = DetectorSuite(RLWatchConfig()), []
    series = {theirs: run.series[ours] for theirs, ours in names.items() if ours in run.series}
    for step in np.unique(np.concatenate([steps for steps, _ in series.values()])):
        row = {name: _at(points, step) for name, points in series.items()}
        found += [alert.detector for alert in suite.check_step(int(step), **row)]
    return list(dict.fromkeys(found))


def _at(points: Series, step: int) -> float | None:
    at = np.flatnonzero(points[0] == step)
    return float(points[1][at[0]]) if len(at) else None


def judge(folder: Path) -> int:
    """Print the table."""
    runs = [RecordedRun.load(path) for path in sorted(folder.glob("*.npz"))]
    faults = [run for run in runs if run.labels["group"] == "fault"]
    healthy = [run for run in runs if run.labels["group"] == "healthy" and is_healthy(run)]
    print("| doctor | faults caught | right cause first | among the first three | false alarms |")
    print("|---|---:|---:|---:|---:|")
    for name, find in {"zen-rl 0.1.0": zen, "rlwatch 0.5.1": rlwatch}.items():
        found = [(run, find(run)) for run in faults]
        alarms = sum(bool(find(run)) for run in healthy)
        tests = (_caught, _first, _three)
        counts = [sum(test(run, modes) for run, modes in found) for test in tests]
        shares = " | ".join(f"{count / len(faults):.1%}" if faults else "–" for count in counts)
        print(f"| {name} | {shares} | {alarms} of {len(healthy)} |")
    return 0


def _caught(run: RecordedRun, modes: list[str]) -> bool:
    return bool(modes)


def _first(run: RecordedRun, modes: list[str]) -> bool:
    return bool(modes) and bool(MEANS[modes[0]] & set(run.labels["causes"]))


def _three(run: RecordedRun, modes: list[str]) -> bool:
    return any(MEANS[mode] & set(run.labels["causes"]) for mode in modes[:3])
