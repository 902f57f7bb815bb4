"""Odd tensors never stop a run: each is recorded truthfully, or skipped with one warning that names it."""

import math

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn

from puffer_callbacks import Histogram, PufferCallback, default_callbacks, log
from tests.support.models import Agent, Supervised, losses, random_rollout
from tests.support.reading import accumulator, tensorboard_scalars
from tests.support.warned import warned

NAN, INF = math.nan, math.inf

RECORDED = {
    "nan": (torch.tensor(NAN), NAN),
    "inf": (torch.tensor(INF), INF),
    "-inf": (torch.tensor(-INF), -INF),
    "0-d": (torch.tensor(1.5), 1.5),
    "one element": (torch.tensor([[1.5]]), 1.5),
    "int64": (torch.tensor(2**40), float(2**40)),
    "int8": (torch.tensor(-3, dtype=torch.int8), -3.0),
    "uint8": (torch.tensor(200, dtype=torch.uint8), 200.0),
    "boolean": (torch.tensor(True), 1.0),
    "float64": (torch.tensor(1e300, dtype=torch.float64), 1e300),
    "denormal": (torch.tensor(1e-310, dtype=torch.float64), 1e-310),
    "bfloat16": (torch.tensor(1.5, dtype=torch.bfloat16), 1.5),
    "float16": (torch.tensor(65504.0, dtype=torch.float16), 65504.0),
    "float8": (torch.tensor(1.5).to(torch.float8_e4m3fn), 1.5),
    "non-contiguous": (torch.arange(6.0).view(2, 3).t()[1, 1], 4.0),
    "needs a gradient": (nn.Parameter(torch.tensor(1.5)) * 2, 3.0),
    "inference": (torch.inference_mode()(lambda: torch.ones(()) * 2)(), 2.0),
    "numpy": (np.float16(0.5), 0.5),
    "numpy integer": (np.int64(7), 7.0),
    "huge integer": (10**400, INF),
}
SKIPPED = {
    "empty": torch.zeros(0),
    "vector": torch.ones(3),
    "complex": torch.tensor(1 + 2j),
    "python complex": 1 + 2j,
    "sparse": torch.eye(2).to_sparse(),
    "meta": torch.zeros((), device="meta"),
    "words": "words",
}


class Says(PufferCallback):
    def __init__(self, values):
        self.values = values

    def on_step(self, trainer, pl_module, metrics):
        log(trainer, self.values)


@pytest.mark.parametrize("name", RECORDED)
def test_an_odd_scalar_is_recorded_as_it_is(quiet_trainer, memory_logger, name):
    value, expected = RECORDED[name]
    module = Supervised([{"loss": 0.0, "odd": value, "even": 1.0}] * 2)
    quiet_trainer(logger=memory_logger, callbacks=[*default_callbacks(metrics=2), Says({"odd": value})]).fit(module)
    assert [point for _, point in memory_logger.series("odd")] == pytest.approx([expected] * 2, nan_ok=True)
    assert memory_logger.series("train/even") == [(2, 1.0)]
    if math.isfinite(expected):
        assert memory_logger.series("train/odd") == [(2, pytest.approx(expected))]
    else:
        assert math.isnan(memory_logger.series("train/odd")[0][1])
        assert memory_logger.series("nonfinite/train/odd") == [(2, 2.0)]


@pytest.mark.parametrize("name", SKIPPED)
def test_what_is_no_scalar_is_skipped_and_named(quiet_trainer, memory_logger, name):
    module = Supervised([{"loss": 0.0, "odd": SKIPPED[name], "even": 1.0}] * 2)
    with warned() as reported:
        callbacks = [*default_callbacks(metrics=2), Says({"odd": SKIPPED[name], "even": 1.0})]
        quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(module)
    assert module.step == 2
    assert [warning for warning in reported if "odd" not in warning] == []
    assert len(reported) == 1
    assert memory_logger.series("train/even") == [(2, 1.0)]
    assert memory_logger.series("even") == [(1, 1.0), (2, 1.0)]
    assert "odd" not in memory_logger.tags


def rollouts_of(**fields):
    return lambda at, env_steps: random_rollout(at, env_steps, **fields)


HISTOGRAMS = {
    "nan": (torch.tensor([[NAN, 1.0]] * 8), 8, 8),
    "all nan": (torch.full((8, 2), NAN), 0, 16),
    "inf": (torch.tensor([[INF, -INF]] * 8), 0, 16),
    "integer": (torch.arange(16).view(8, 2), 16, 0),
    "boolean": (torch.ones(8, 2, dtype=torch.bool), 16, 0),
    "float64": (torch.full((8, 2), 1e300, dtype=torch.float64), 16, 0),
    "float16": (torch.full((8, 2), 6e4, dtype=torch.float16), 16, 0),
    "bfloat16": (torch.full((8, 2), 1e38, dtype=torch.bfloat16), 16, 0),
    "denormal": (torch.full((8, 2), 1e-310, dtype=torch.float64), 16, 0),
    "non-contiguous": (torch.arange(16.0).view(2, 8).t(), 16, 0),
}


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_an_odd_rollout_has_a_true_histogram(quiet_trainer, memory_logger, name):
    values, count, nonfinite = HISTOGRAMS[name]
    module = Agent(losses(*[0.0] * 4), make=rollouts_of(advantages=values, rewards=values, actions=values))
    quiet_trainer(logger=memory_logger, callbacks=default_callbacks(histograms=4)).fit(module)
    for tag in ("advantages", "rewards", "actions"):
        ((step, histogram),) = memory_logger.series(f"rollout/{tag}")
        assert (step, histogram.count, histogram.nonfinite) == (16, count, nonfinite)
        assert histogram.counts.sum() == count


class OddParameters(Supervised):
    """Parameters of every kind that a module can have."""

    def __init__(self, script):
        super().__init__(script)
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        self.empty = nn.Parameter(torch.zeros(0))
        self.scalar = nn.Parameter(torch.tensor(2.0))
        self.unused = nn.Parameter(torch.ones(3))
        self.of_float16 = nn.Parameter(torch.ones(5, dtype=torch.float16))
        self.of_bfloat16 = nn.Parameter(torch.ones(5, dtype=torch.bfloat16))
        self.of_float64 = nn.Parameter(torch.full((5,), 1e300, dtype=torch.float64))
        self.integer = nn.Parameter(torch.arange(6), requires_grad=False)
        self.boolean = nn.Parameter(torch.tensor([True, False]), requires_grad=False)
        self.complex = nn.Parameter(torch.ones(3, dtype=torch.complex64) * (3 + 4j))
        self.sick = nn.Parameter(torch.tensor([1.0, NAN, INF, -INF]))
        self.strided = nn.Parameter(torch.arange(12.0).view(3, 4).t()[::2])
        self.tied = nn.Linear(3, 2)
        self.tied.weight = self.layer.weight
        self.embedding = nn.Embedding(10, 4, sparse=True)

    def anchor(self):
        used = [
            self.scalar,
            self.of_float16,
            self.of_bfloat16,
            self.of_float64 * 0,
            self.strided,
            self.complex.abs(),
        ]
        looked_up = self.embedding(torch.tensor([1, 1, 3])).sum()
        return super().anchor() + sum(part.float().sum() for part in used) * 0.0 + looked_up * 0.0


PARAMETERS = {
    "frozen": (4, 0),
    "empty": (0, 0),
    "scalar": (1, 0),
    "unused": (3, 0),
    "of_float16": (5, 0),
    "of_bfloat16": (5, 0),
    "of_float64": (5, 0),
    "integer": (6, 0),
    "boolean": (2, 0),
    "sick": (1, 3),
    "strided": (6, 0),
    "layer.weight": (6, 0),
    "embedding.weight": (40, 0),
}


@pytest.fixture
def watched(quiet_trainer, memory_logger, tmp_path):
    module = OddParameters(losses(*[0.0] * 4))
    csv, tensorboard = (tmp_path / name for name in ("csv", "tensorboard"))
    loggers = [CSVLogger(csv, name="", version=""), TensorBoardLogger(tensorboard, name="", version="")]
    with warned() as reported:
        quiet_trainer(
            logger=[memory_logger, *loggers],
            callbacks=default_callbacks(metrics=2, histograms=2),
        ).fit(module)
    assert module.step == 4
    return memory_logger, reported, tensorboard


def test_odd_parameters_have_true_histograms_or_are_named(watched):
    logger, reported, _ = watched
    for name, (count, nonfinite) in PARAMETERS.items():
        points = logger.series(f"weights/{name}") if f"weights/{name}" in logger.tags else []
        if not points:
            assert any(name in warning for warning in reported), f"{name} is missing without a word"
            continue
        assert [step for step, _ in points] == [1, 2, 4]
        assert (points[-1][1].count, points[-1][1].nonfinite) == (count, nonfinite), name
    assert len(reported) == len(set(reported))


def test_a_shared_parameter_is_recorded_once(watched):
    logger, _, _ = watched
    assert "weights/layer.weight" in logger.tags
    assert "weights/tied.weight" not in logger.tags


def test_what_has_no_gradient_has_no_gradient_histogram(watched):
    logger, _, _ = watched
    for name in ("frozen", "unused", "integer"):
        assert f"gradients/{name}" not in logger.tags
    for name in ("scalar", "layer.weight", "strided"):
        assert f"gradients/{name}" in logger.tags


def test_a_sparse_gradient_counts_its_zeros_or_is_named(watched):
    logger, reported, _ = watched
    if "gradients/embedding.weight" in logger.tags:
        assert logger.series("gradients/embedding.weight")[-1][1].count == 40
    else:
        assert any("embedding.weight" in warning for warning in reported)


def test_a_complex_parameter_counts_by_magnitude_or_is_named(watched):
    logger, reported, _ = watched
    if "weights/complex" in logger.tags:
        histogram: Histogram = logger.series("weights/complex")[-1][1]
        assert (histogram.count, histogram.min, histogram.max) == (3, 5.0, 5.0)
    else:
        assert any("complex" in warning for warning in reported)


def test_every_backend_can_read_them(watched):
    logger, _, tensorboard = watched
    found = accumulator(tensorboard)
    for tag in logger.tags:
        if tag.startswith("weights/"):
            histogram = found.Histograms(tag)[-1].histogram_value
            assert sum(histogram.bucket) == logger.series(tag)[-1][1].count
    assert len(tensorboard_scalars(tensorboard)["train/loss"]) == 2
