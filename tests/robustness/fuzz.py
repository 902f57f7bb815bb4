"""Gives the package whatever can be given: ``log``, what training steps return, rollouts.

    python -m tests.robustness.fuzz --inputs 10000

Each input ends in a truthful record or in a clear warning, and the training always goes on to its end.
"""

import argparse
import faulthandler
import json
import logging
import math
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from puffer_callbacks import (
    Histogram,
    HistogramCallback,
    Image,
    ImageCallback,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Rollout,
    RolloutCallback,
    Text,
    Video,
    emit,
    log,
)
from puffer_callbacks.faults import PufferWarning
from puffer_callbacks.values.tags import sanitize_tag
from tests.robustness import oddities
from tests.robustness.truth import number, numbers_of, same
from tests.support.models import Supervised

INPUTS = int(os.environ.get("FUZZ_INPUTS", "200"))
"""For each of the targets."""
TRIED: Counter[str] = Counter()
STEPS = 2


@contextmanager
def warned() -> Iterator[list[str]]:
    """The package's warnings; what third parties say about odd tensors does not matter, what it raises does."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module=r"puffer_callbacks\b")
        warnings.simplefilter("always", PufferWarning)
        reported: list[str] = []
        yield reported
    reported += [str(warning.message) for warning in caught]


def train(module: pl.LightningModule, *callbacks: pl.Callback) -> tuple[MemoryLogger, list[str]]:
    """Two steps; what was recorded and what was reported."""
    logger = MemoryLogger()
    with warned() as reported, tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=logger,
            callbacks=list(callbacks),
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        trainer.fit(module)
        assert trainer.global_step == STEPS, "the training did not go on to its end"
    return logger, reported


class Returns(Supervised):
    """Returns this from its training steps, with a loss to train on."""

    def __init__(self, outputs: Sequence[Any]) -> None:
        super().__init__([{}] * STEPS)
        self.outputs = outputs

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return _with_loss(self.outputs[batch_idx], self.anchor())


class Collects(Supervised):
    """Has a rollout before its first step."""

    def __init__(self, rollout: Rollout) -> None:
        super().__init__([{}] * STEPS)
        self.rollout = rollout

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 0:
            emit(self, "on_rollout_end", self.rollout)
        return super().training_step(batch, batch_idx)


class Logs(PufferCallback):
    """Logs these values at each step."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        log(trainer, self.values)
        log(trainer, {"beside": 1.0})


def check_log(values: Any) -> None:
    """Each value is recorded as it is, or named in a warning; what is no mapping is refused in one."""
    TRIED["log"] += 1
    logger, reported = train(Supervised([{}] * STEPS), Logs(values))
    assert [value for _, value in logger.series("beside")] == [1.0] * STEPS
    try:
        tags = [sanitize_tag(str(tag)) for tag in values.keys()]  # noqa: SIM118
        pairs = dict(zip(tags, [values[tag] for tag in values.keys()], strict=True))  # noqa: SIM118
    except Exception:
        assert reported
        return
    known = (Histogram, Image, Text, Video)
    for tag, value in pairs.items():
        if tags.count(tag) > 1:  # two names that are one once cleaned
            continue
        if isinstance(value, known) or number(value) is not None:
            recorded = logger.series(tag)
            assert len(recorded) == STEPS
            assert same(recorded[-1][1], value), (tag, recorded, value)
        elif tag not in ("beside", *_axes(logger)):
            assert tag not in logger.tags, (tag, value)
            assert any(warning.startswith("log(") for warning in reported), (tag, value, reported)
    assert len(reported) <= len(values), reported


def check_step(outputs: Sequence[Any]) -> None:
    """The means of all that is a number, over the steps in which it is finite."""
    TRIED["on_step"] += 1
    seen: list[dict[str, Any]] = []
    logger, reported = train(Returns(outputs), MetricsCallback(every_n_steps=STEPS), Sees(seen))
    assert not reported or outputs == [None] * STEPS, reported
    flat = [dict(_flat(_with_loss(each, torch.zeros(())))) for each in outputs]
    assert all(set(known) <= set(each) for known, each in zip(flat, seen, strict=True)), (seen, flat)
    for name in {name for each in flat for name in each}:
        numbers = [each[name] for each in flat if name in each]
        finite = [each for each in numbers if math.isfinite(each)]
        tag = sanitize_tag(f"train/{name}")
        if [sanitize_tag(str(other)) for each in flat for other in each].count(sanitize_tag(name)) == len(numbers):
            ((_, mean),) = logger.series(tag)
            expected = np.mean(finite) if finite else math.nan
            assert np.isclose(mean, expected, rtol=1e-12, atol=0, equal_nan=True), (tag, mean, expected)
            if len(finite) < len(numbers):
                assert logger.series(sanitize_tag(f"nonfinite/train/{name}"))[-1][1] == len(numbers) - len(finite)


class Sees(PufferCallback):
    """Keeps what ``on_step`` is given."""

    def __init__(self, seen: list[dict[str, Any]]) -> None:
        self.seen = seen

    def on_step(self, trainer: Any, pl_module: Any, metrics: Mapping[str, Any]) -> None:
        assert all(
            isinstance(value, float) or (value.ndim == 0 and not value.requires_grad) for value in metrics.values()
        )
        self.seen.append(dict(metrics))


def check_rollout(fields: Mapping[str, Any]) -> None:
    """It is refused in one clear line, or what can be told of it is told truly."""
    TRIED["Rollout"] += 1
    try:
        rollout = Rollout(**fields)
    except (TypeError, ValueError) as error:
        assert str(error).startswith("Rollout"), error
        assert "expected" in str(error), error
        return
    TRIED["Rollout, accepted"] += 1
    logger, reported = train(Collects(rollout), RolloutCallback(), HistogramCallback(every_n_steps=1), ImageCallback(1))
    assert len(reported) == len(set(reported))
    assert "time/optimizer_steps" in logger.tags or reported
    returns = _finite(rollout.episode_returns)
    if returns is not None and returns.size:
        assert _reported_by("RolloutCallback", reported) or np.isclose(
            logger.series("train/reward")[0][1], returns.mean()
        )
    for name in ("rewards", "values", "advantages", "actions"):
        tensor = getattr(rollout, name)
        finite = _finite(tensor)
        if f"rollout/{name}" not in logger.tags:
            assert tensor is None or _reported_by("HistogramCallback", reported), name
        elif finite is not None:
            histogram = logger.series(f"rollout/{name}")[-1][1]
            assert (histogram.count, histogram.nonfinite) == (finite.size, tensor.numel() - finite.size), name


def _with_loss(outputs: Any, loss: Tensor) -> Any:
    if isinstance(outputs, Mapping):
        return {**outputs, "loss": loss}
    return loss if outputs is not None else None


def _flat(outputs: Any, prefix: str = "", depth: int = 16) -> Iterator[tuple[str, float]]:
    if isinstance(outputs, Tensor):
        outputs = {"loss": outputs}
    for name, value in (outputs or {}).items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/", depth - 1) if depth else ()
        elif number(value) is not None:
            yield f"{prefix}{name}", number(value)


def _finite(tensor: Tensor | None) -> Any:
    held = None if tensor is None else numbers_of(tensor)
    return None if held is None else held[np.isfinite(held)]


def _reported_by(name: str, reported: list[str]) -> bool:
    return any(warning.startswith(name) for warning in reported)


def _axes(logger: MemoryLogger) -> list[str]:
    return [tag for tag in logger.tags if tag.startswith(("time/", "logging/", "throughput/"))]


def _mostly(often: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 39).flatmap(lambda at: often if at else seldom)


_odd = oddities.tensors(st.sampled_from([(0, 3), (2, 0), (2, 3, 4), (6,), (), (3, 2)])) | oddities.values
_field = _mostly(oddities.tensors(st.just((2, 3))), _odd)
_episodes = _mostly(oddities.tensors(st.just((5,))), oddities.tensors(st.sampled_from([(0,), (2, 3)])))
rollouts = st.fixed_dictionaries(
    dict.fromkeys(("observations", "actions", "rewards", "dones"), _field),
    optional=dict.fromkeys(("values", "log_probs", "advantages", "returns", "entropy"), _field)
    | dict.fromkeys(("episode_returns", "episode_lengths"), _episodes)
    | {
        "infos": _mostly(
            st.dictionaries(oddities.words, _field, max_size=3), oddities.mappings(_odd) | oddities.values
        ),
        "env_steps": _mostly(st.integers(), oddities.plain),
        "action_space": oddities.values,
    },
)
logs = oddities.mappings(oddities.values) | oddities.mappings(oddities.nested) | oddities.values
outputs = st.lists(oddities.mappings(oddities.nested) | oddities.tensors() | st.none(), min_size=STEPS, max_size=STEPS)

TARGETS: dict[str, tuple[Callable[[Any], None], st.SearchStrategy[Any]]] = {
    "log": (check_log, logs),
    "on_step": (check_step, outputs),
    "Rollout": (check_rollout, rollouts),
}


def fuzz(target: str, *, inputs: int) -> None:
    """Try so many inputs, the same each time."""
    check, strategy = TARGETS[target]
    limits = settings(
        max_examples=inputs,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says as odd tensors are made; ``warned`` looks at the rest
        limits(given(strategy)(check))()


def main(argv: Sequence[str] | None = None) -> int:
    """Try the inputs, a third for each target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--target", choices=TARGETS, action="append", help="one of them, or several; all if not given")
    options = parser.parse_args(argv)
    targets = options.target or list(TARGETS)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    for target in targets:
        faulthandler.dump_traceback_later(3600, exit=True)
        fuzz(target, inputs=-(-options.inputs // len(targets)))
        print(json.dumps({"target": target, "inputs": TRIED[target]}), flush=True)
    print(json.dumps({"inputs": sum(TRIED[target] for target in targets), **TRIED, "failed": 0}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
