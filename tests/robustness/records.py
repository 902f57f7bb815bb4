"""What the backends' own readers find after a run's lives, and what is wrong with it."""

import csv
import json
from itertools import pairwise
from pathlib import Path

from puffer_callbacks.writers.wandb.run_file import read_history
from tests.robustness.lives import HISTOGRAMS_EVERY, METRICS_EVERY, STEPS_PER_ROLLOUT, UPDATES_PER_ROLLOUT
from tests.support.reading import accumulator

Series = dict[str, list[int]]
"""Tag to the steps of its points, in the order in which the reader gives them."""

WORDS = ("run/ended_by",)
EVERY_ROLLOUT = ("time/env_steps", "time/optimizer_steps", "diagnostics/explained_variance")


def read(backend: str, folder: Path) -> Series:
    """Every series of one backend."""
    readers = {"tensorboard": tensorboard, "csv": csv_table, "wandb": wandb}
    return readers[backend](folder)


def tensorboard(folder: Path) -> Series:
    """By TensorBoard's event accumulator, which hides what a resumed run took back."""
    found = accumulator(folder / "tensorboard")
    tags = found.Tags()
    series = {tag: [event.step for event in found.Scalars(tag)] for tag in tags["scalars"]}
    return series | {tag: [event.step for event in found.Histograms(tag)] for tag in tags["histograms"]}


def csv_table(folder: Path) -> Series:
    """By Python's reader of CSV; a histogram shows as its count."""
    series: Series = {}
    path = folder / "csv" / "metrics.csv"
    if not path.exists():  # Lightning removes it as a resumed run begins; a kill right then leaves its second name
        path = path.with_name(".metrics.csv")
    with path.open(newline="") as file:
        for row in csv.DictReader(file, strict=True):
            assert None not in row, f"a row longer than the header: {row}"
            for name, cell in row.items():
                if cell and name != "step":
                    assert name in WORDS or float(cell) is not None, f"no number in {name}: {cell}"
                    series.setdefault(name.removesuffix("/count"), []).append(int(row["step"]))
    return series


def wandb(folder: Path) -> Series:
    """By W&B's protocol, over the files of all lives with the run's id."""
    series: Series = {}
    for path in sorted((folder / "wandb").glob("offline-run-*/run-*.wandb")):
        for row in read_history(path):
            for name in row.keys() - {"_step", "_runtime", "_timestamp"}:
                if not name.endswith((".bins", ".values")):  # a histogram shows as its type
                    step = int(json.loads(row["time/env_steps"]))
                    series.setdefault(name.removesuffix("._type"), []).append(step)
    return series


def expected(rollouts: int) -> Series:
    """The steps that a run of so many rollouts has, killed or not: those of each rollout, and of each interval."""
    every_rollout = [STEPS_PER_ROLLOUT * (at + 1) for at in range(rollouts)]
    series = dict.fromkeys(EVERY_ROLLOUT, every_rollout)
    series["train/loss"] = sorted({*_interval_ends(METRICS_EVERY, rollouts), every_rollout[-1]})
    ends = {every_rollout[0], *_interval_ends(HISTOGRAMS_EVERY, rollouts), every_rollout[-1]}  # the first step, the end
    series["weights/policy.actor.0.weight"] = sorted(ends)
    return series


def problems(found: Series, rollouts: int) -> list[str]:
    """Whatever distinguishes a record from one without a gap and without a duplicate."""
    problems = [
        f"{tag}: steps do not strictly rise: {_around(steps)}" for tag, steps in found.items() if not rises(steps)
    ]
    for tag, steps in expected(rollouts).items():
        there = set(found.get(tag, ()))
        if there != set(steps):
            missing, extra = sorted(set(steps) - there), sorted(there - set(steps))
            problems.append(f"{tag}: missing {missing[:9]}, unexpected {extra[:9]}, of {len(steps)}")
    return problems


def rises(steps: list[int]) -> bool:
    """Whether each step is beyond the one before."""
    return all(before < after for before, after in pairwise(steps))


def _around(steps: list[int]) -> list[int]:
    at = next(i for i in range(1, len(steps)) if steps[i] <= steps[i - 1])
    return steps[max(0, at - 3) : at + 3]


def _interval_ends(every: int, rollouts: int) -> list[int]:
    updates = range(every, rollouts * UPDATES_PER_ROLLOUT + 1, every)
    return [STEPS_PER_ROLLOUT * -(-update // UPDATES_PER_ROLLOUT) for update in updates]
