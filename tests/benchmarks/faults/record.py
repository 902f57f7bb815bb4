"""Runs recorded as named series and facts, each in one small file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from puffer_callbacks import MemoryLogger, PufferCallback, log
from puffer_callbacks.health.look_schedule import LookSchedule
from puffer_callbacks.health.statistics import Collector
from puffer_callbacks.measure.plasticity import dormant_ratio, effective_rank, feature_norm, saturated_ratio
from puffer_callbacks.rollout import Rollout

Series = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@dataclass
class RecordedRun:
    """Series by tag, facts by name, and what the benchmark knows of the run (its fault, seed, environment)."""

    series: dict[str, Series] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it, float32 and compressed."""
        tags = sorted(self.series)
        header = {"facts": self.facts, "labels": self.labels, "tags": tags}
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            np.savez_compressed(
                file,
                header=np.frombuffer(json.dumps(header, default=repr).encode(), np.uint8),
                sizes=np.array([len(self.series[tag][0]) for tag in tags], np.int32),
                steps=np.concatenate([self.series[tag][0] for tag in tags] or [[]]).astype(np.int64),
                values=np.concatenate([self.series[tag][1] for tag in tags] or [[]]).astype(np.float32),
            )
        unfinished.rename(path)

    @classmethod
    def load(cls, path: Path) -> "RecordedRun":
        """Read it back."""
        with np.load(path) as stored:
            header = json.loads(stored["header"].tobytes())
            ends = np.cumsum(stored["sizes"])[:-1]
            steps, values = np.split(stored["steps"], ends), np.split(stored["values"].astype(np.float64), ends)
        series = {tag: (s, v) for tag, s, v in zip(header["tags"], steps, values, strict=True)}
        return cls(series, header["facts"], header["labels"])


class StatisticsCallback(PufferCallback):
    """Logs the statistics that the rules look at, at the end of each rollout."""

    def __init__(self, *, max_episode_steps: int | None) -> None:
        self._collector = Collector(max_episode_steps=max_episode_steps)
        self._batch: Any = None
        self._text: dict[str, float] = {}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        metrics = outputs if isinstance(outputs, Mapping) else {}
        self._collector.add_step({name: float(value) for name, value in metrics.items()}, batch)

    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        values = self._collector.add_rollout(rollout, module=pl_module, parameters=list(pl_module.named_parameters()))
        values |= plasticity(pl_module, rollout)
        log(trainer, values)


def plasticity(module: Any, rollout: Rollout, *, max_steps: int = 512) -> dict[str, float]:
    """Dormant and saturated units, rank and norm of every activation layer on observations of the rollout."""
    policy = getattr(module, "policy", module)
    stride = max(1, rollout.num_steps * rollout.num_envs // max_steps)
    observations = rollout.observations.detach().flatten(0, 1)[::stride].float()
    if not observations.isfinite().all() or not all(p.isfinite().all() for p in policy.parameters()):
        return {}
    outputs: dict[str, torch.Tensor] = {}
    layers = [(n, m) for n, m in policy.named_modules() if type(m).__module__ == "torch.nn.modules.activation"]

    def keep(name: str) -> Any:
        return lambda _, __, output: outputs.__setitem__(name, output)

    handles = [layer.register_forward_hook(keep(name)) for name, layer in layers]
    training = [(part, part.training) for part in policy.modules()]
    try:
        policy.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            policy(observations)
    except Exception:  # a policy that wants something else
        return {}
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in training:
            part.training = mode
    values: dict[str, float] = {}
    for name, output in outputs.items():
        if not output.isfinite().all():
            continue
        values[f"plasticity/dormant_ratio/{name}"] = dormant_ratio(output)
        values[f"plasticity/effective_rank/{name}"] = float(effective_rank(output))
        values[f"plasticity/feature_norm/{name}"] = feature_norm(output)
        if output.abs().max() <= 1:
            values[f"plasticity/saturated_ratio/{name}"] = saturated_ratio(output)
    return values


_PLASTICITY = ("plasticity/effective_rank", "plasticity/feature_norm", "plasticity/weight_norm")
_OF_UPDATES = tuple(
    f"diagnostics/{name}"
    for name in (
        "first_",
        "batch_coverage",
        "value_pairing",
        "weight_change/",
        "log_prob_change",
        "advantage_alignment",
    )
)
_IN_EVERY_ROW = {
    f"diagnostics/{name}" for name in ("approx_kl", "clip_fraction", "explained_variance", "old_approx_kl")
}


def looked_at(series: dict[str, Series]) -> dict[str, Series]:
    """The series that ``default_callbacks`` would have logged: statistics of some rollouts, and of units alone."""
    rollouts = series.get("diagnostics/done_fraction", series.get("diagnostics/repeated_rollout"))
    if rollouts is None:
        return {tag: points for tag, points in series.items() if not tag.startswith(_PLASTICITY)}
    schedule = LookSchedule()
    looks = np.array([schedule.fires(number) for number in range(1, len(rollouts[0]) + 1)])
    begins, ends = rollouts[0][looks], rollouts[0][np.flatnonzero(looks[:-1]) + 1]
    found = {}
    for tag, (steps, values) in series.items():
        kept = np.ones(len(steps), bool)
        if tag.startswith("diagnostics/") and tag not in _IN_EVERY_ROW:
            kept = np.isin(steps, ends if tag.startswith(_OF_UPDATES) else begins)
        elif tag.startswith("plasticity/"):
            kept = np.isin(steps, begins)
        if kept.any() and not tag.startswith(_PLASTICITY):
            found[tag] = (steps[kept], values[kept])
    return found


def series_of(logger: MemoryLogger) -> dict[str, Series]:
    """The scalar series of a logger."""
    found: dict[str, Series] = {}
    for tag in logger.tags:
        points = [(step, value) for step, value in logger.series(tag) if isinstance(value, float | int)]
        if points and not tag.startswith("logging/"):
            steps, values = zip(*points, strict=True)
            found[tag] = (np.array(steps, np.int64), np.array(values, np.float64))
    return found
