"""Judges recorded runs and prints what was found."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from puffer_callbacks.health import Diagnosis, Facts, diagnose
from puffer_callbacks.health.causes import CAUSES
from tests.benchmarks.faults.record import RecordedRun, looked_at
from tests.benchmarks.faults.sb3_settings import MIN_RETURN

HELD_OUT = 3
"""Rules were tuned on the other seeds."""


@dataclass(frozen=True)
class Judged:
    """A run and its diagnosis."""

    labels: dict[str, Any]
    diagnosis: Diagnosis
    last_return: float
    alarms_for_a_while: dict[str, list[float]] = field(default_factory=dict)
    """Rule to the shares of a healthy run after which it had a finding."""

    @property
    def alarms(self) -> list[Any]:
        """Findings that are a warning or worse."""
        return [finding for finding in self.diagnosis.findings if finding.severity != "info"]

    @property
    def rank(self) -> int | None:
        """The place of the first right cause among all that are named, 1 for the first."""
        right = {CAUSES[name].text for name in self.labels["causes"]}
        named = list(dict.fromkeys(cause for finding in self.alarms for cause in finding.causes))
        return next((at for at, cause in enumerate(named, 1) if cause in right), None)

    @property
    def delay(self) -> float | None:
        """Steps from the fault's begin to the finding's onset, as a share of the run."""
        if not self.alarms:
            return None
        return (self.alarms[0].first_step - self.labels["begins"] * self.labels["total"]) / self.labels["total"]


def judge(folder: Path, *, verbose: bool = False, sparse: bool = False, live: bool = False) -> int:
    """Print the tables; the exit status is 1 where a bound is missed.

    Args:
        folder: of recorded runs.
        verbose: one line for each run.
        sparse: judge what ``default_callbacks`` log: statistics of some rollouts alone.
        live: judge healthy runs again and again while they train, too.
    """
    runs = [_judge_one(path, sparse=sparse, live=live) for path in sorted(folder.glob("*.npz"))]
    if verbose:
        for run in runs:
            _line(run)
    groups: dict[str, list[Judged]] = defaultdict(list)
    for run in runs:
        groups[run.labels["group"]].append(run)
    _faults(groups["fault"])
    _healthy(groups["healthy"])
    for name in ("muprl", "report"):
        _others(name, groups[name])
    return 0


def facts_of(run: RecordedRun) -> Facts:
    """The facts that a callback or a log would know."""
    known = {name: value for name, value in run.facts.items() if name != "hyperparameters"}
    return Facts.of(run.facts["hyperparameters"], error=run.labels["error"] or None, **known)


def _judge_one(path: Path, *, sparse: bool, live: bool) -> Judged:
    run = RecordedRun.load(path)
    if sparse:
        run.series = looked_at(run.series)
    judged = Judged(run.labels, diagnose(run.series, facts_of(run)), last_return(run))
    if live and run.labels["group"] == "healthy" and is_healthy(run):
        judged.alarms_for_a_while.update(_alarms_on_the_way(run))
    return judged


def _alarms_on_the_way(run: RecordedRun) -> dict[str, list[float]]:
    """Rule to the shares of the run after which it has a finding that is a warning or worse."""
    end = max(int(steps[-1]) for steps, _ in run.series.values())
    found: dict[str, list[float]] = defaultdict(list)
    for share in (at / 20 for at in range(2, 20)):
        so_far = {tag: (s[s <= share * end], v[s <= share * end]) for tag, (s, v) in run.series.items()}
        diagnosis = diagnose({tag: points for tag, points in so_far.items() if len(points[0])}, facts_of(run))
        for finding in diagnosis.findings:
            if finding.severity != "info":
                found[finding.rule].append(share)
    return found


def last_return(run: RecordedRun) -> float:
    """The mean return of the last tenth of a run; NaN where no episode has ended."""
    reward = run.series.get("train/reward")
    return float("nan") if reward is None else float(reward[1][-max(1, len(reward[1]) // 10) :].mean())


def is_healthy(run: RecordedRun) -> bool:
    """Whether a run without a fault has learned."""
    return last_return(run) > MIN_RETURN[run.labels["env_id"]]


def _line(run: Judged) -> None:
    labels = run.labels
    found = "; ".join(
        f"{f.rule}@{f.first_step}({f.severity[0]})"
        + (f"[{','.join(c.rule for c in f.consequences)}]" if f.consequences else "")
        for f in run.diagnosis.findings
    )
    rank = f"rank {run.rank}" if labels["group"] in ("fault", "report") else ""
    print(
        f"{labels['group']:7} {labels['trainer']:4} {labels['env_id'][:9]:9} {labels['seed']} {labels['name'][:34]:34} "
        f"R={run.last_return:9.4g} {rank:8} {found}"
    )


def _faults(runs: list[Judged]) -> None:
    print("\n| fault | trainer | runs | caught | cause first | among three | rules | onset delay |")
    print("|---|---|---:|---:|---:|---:|---|---:|")
    rows: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for run in runs:
        rows[run.labels["name"], run.labels["trainer"]].append(run)
    for (name, trainer), group in rows.items():
        caught = sum(bool(run.alarms) for run in group)
        first, three = _share(group, 1), _share(group, 3)
        rules = ", ".join(dict.fromkeys(run.alarms[0].rule for run in group if run.alarms))
        delays = sorted(run.delay for run in group if run.delay is not None)
        delay = f"{delays[len(delays) // 2]:+.0%}" if delays else ""
        print(f"| {name} | {trainer} | {len(group)} | {caught} | {first} | {three} | {rules} | {delay} |")
    for title, chosen in (("all", runs), ("held-out seed", [r for r in runs if r.labels["seed"] == HELD_OUT])):
        if chosen:
            n, caught = len(chosen), sum(bool(run.alarms) for run in chosen)
            print(
                f"{title}: {n} runs, caught {caught / n:.1%}, right cause first {_share(chosen, 1) / n:.1%}, "
                f"among the first three {_share(chosen, 3) / n:.1%}"
            )


def _share(runs: list[Judged], rank: int) -> int:
    return sum(run.rank is not None and run.rank <= rank for run in runs)


def _healthy(runs: list[Judged]) -> None:
    learned = [run for run in runs if run.last_return > MIN_RETURN[run.labels["env_id"]]]
    alarmed = [run for run in learned if run.alarms]
    print(f"\n{len(learned)} of {len(runs)} runs without a fault learned; false alarms in {len(alarmed)} of them")
    for run in alarmed:
        _line(run)
    if any(run.alarms_for_a_while for run in learned):
        print(f"alarms while they trained: {sum(bool(run.alarms_for_a_while) for run in learned)}")
    for run in learned:
        if run.alarms_for_a_while:
            _line(run)
            print(f"    after shares of the run: {dict(run.alarms_for_a_while)}")
    print("without a fault, but not learned:")
    for run in runs:
        if run not in learned:
            _line(run)


def _others(name: str, runs: list[Judged]) -> None:
    print(f"\n{name}:")
    for run in runs:
        _line(run)
