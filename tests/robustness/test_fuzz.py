"""Whatever is given, the training goes on, and the record is true or one warning tells why it is not there.

The inputs are the same each time; ``FUZZ_INPUTS`` tells how many there are for each target.
"""

import warnings

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from puffer_callbacks import MemoryLogger, MetricsCallback, log
from tests.robustness import oddities
from tests.robustness.fuzz import INPUTS, TARGETS, TRIED, Logs, fuzz, train
from tests.support.models import Supervised
from tests.support.reading import accumulator
from tests.support.warned import warned


@pytest.mark.parametrize("target", TARGETS)
def test_odd_inputs_are_recorded_truly_or_named(target):
    fuzz(target, inputs=INPUTS)
    assert TRIED[target] >= INPUTS


def test_many_rollouts_of_odd_tensors_are_accepted():
    """Else the fuzz would try little but the refusal."""
    TRIED.clear()
    fuzz("Rollout", inputs=50)
    assert TRIED["Rollout, accepted"] > 10


@pytest.mark.parametrize("values", [None, 1.0, [("a", 1.0)], {"a"}, "ab", torch.ones(2), oddities.generator()])
def test_what_is_no_mapping_is_refused_with_one_warning(values):
    logger, reported = train(Supervised([{}] * 2), Logs(values))
    assert len(reported) == 1
    assert "expected a mapping of tags to values" in reported[0]
    assert logger.series("beside") == [(1, 1.0), (2, 1.0)]


def test_ten_thousand_tags_in_every_backend(quiet_trainer, tmp_path):
    tags = {f"many/{at}": float(at) for at in range(10_000)}
    memory = MemoryLogger()
    backends = [TensorBoardLogger(tmp_path, name="", version="tb"), CSVLogger(tmp_path, name="", version="csv")]
    with warned() as reported:
        trainer = quiet_trainer(logger=[*backends, memory], callbacks=[MetricsCallback(1), Logs(tags)])
        trainer.fit(Supervised([{f"{at}": float(at) for at in range(10_000)}] * 2))
    assert reported == []
    assert memory.series("many/9999") == [(1, 9999.0), (2, 9999.0)]
    assert memory.series("train/9999") == [(1, 9999.0), (2, 9999.0)]
    found = accumulator(tmp_path / "tb")
    assert [event.value for event in found.Scalars("many/9999")] == [9999.0] * 2
    assert len(found.Tags()["scalars"]) > 20_000
    header, *rows = (tmp_path / "csv" / "metrics.csv").read_text().splitlines()
    assert len(header.split(",")) > 20_000
    assert len(rows) == 2


def test_a_log_outside_of_a_fit_is_named(quiet_trainer):
    with warned() as reported:
        log(quiet_trainer(), {"a": 1.0})
        log(Supervised([]), {"a": 1.0})
    assert len(reported) == 1


def test_the_package_does_not_warn_in_its_own_right():
    """The fuzz turns the warnings of the package's own lines into exceptions, so a record would be missing."""
    with pytest.raises(RuntimeWarning), warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"puffer_callbacks\b")
        warnings.warn_explicit("overflow", RuntimeWarning, "x.py", 1, module="puffer_callbacks.histogram.counting")
