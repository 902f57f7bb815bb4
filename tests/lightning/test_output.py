"""Lightning's progress bars, summaries, timers and profilers beside all of ours: the same fit, and they see ours."""

import logging
from datetime import timedelta

import numpy as np
import pytest
from lightning.pytorch.callbacks import (
    DeviceStatsMonitor,
    ModelSummary,
    RichProgressBar,
    ThroughputMonitor,
    Timer,
    TQDMProgressBar,
)

from tests.lightning.fits import BATCHES, ENV_STEPS, EPOCHS, INTERVAL, both, check, fit, means

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*Profiler"),
]


@pytest.mark.parametrize("bar", [TQDMProgressBar, RichProgressBar])
def test_progress_bars_show_the_return_and_the_loss(tmp_path, capsys, bar):
    found, _ = both(tmp_path, bar, enable_progress_bar=True)
    check(found)
    shown = found.stock.get_metrics(found.trainer, found.module)
    assert shown["reward"] == 7.0  # of the eighth rollout
    assert float(shown["loss"]) == pytest.approx(means(found.module.losses)[-1], rel=1e-6)
    output = "".join(capsys.readouterr())
    assert "reward" in output and "7.0" in output


@pytest.mark.parametrize("profiler", ["simple", "advanced", "pytorch"])
def test_profilers(tmp_path, profiler):
    found, _ = both(tmp_path, None, profiler=profiler, max_epochs=2)
    check(found)


def test_device_stats_monitor(tmp_path):
    found, plain = both(tmp_path, lambda: DeviceStatsMonitor(cpu_stats=True))
    check(found)
    stats = [tag for tag in plain.logger.tags if tag.startswith("DeviceStatsMonitor")]
    assert stats
    for tag in stats:
        assert [step for step, _ in found.logger.series(tag)] == [step for step, _ in plain.logger.series(tag)]


def test_timer(tmp_path):
    found, _ = both(tmp_path, lambda: Timer(timedelta(hours=1)))
    check(found)
    assert 0 < found.stock.time_elapsed("train") < 3600


def test_a_timer_that_ends_the_fit(tmp_path):
    found = fit(tmp_path, lambda: Timer(timedelta(0)), with_ours=True)
    plain = fit(tmp_path, lambda: Timer(timedelta(0)), with_ours=False)
    assert found.trainer.global_step == plain.trainer.global_step < BATCHES
    assert found.module.losses == plain.module.losses


def test_model_summary(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="lightning.pytorch")
    found, _ = both(tmp_path, lambda: ModelSummary(max_depth=-1))
    check(found)
    assert caplog.text.count("backbone.0") == 2


def test_throughput_monitor(tmp_path):
    found, plain = both(tmp_path, lambda: ThroughputMonitor(lambda batch: len(batch[0]), window_size=2))
    check(found)
    for tag in ("train/samples", "train/batches"):  # it logs as a module does, so they are means over our interval
        each = np.array([value for _, value in plain.logger.series(tag)])
        steps = np.arange(1, EPOCHS * BATCHES // INTERVAL + 1) * ENV_STEPS
        assert found.logger.series(tag) == list(zip(steps, each.reshape(-1, INTERVAL).mean(1), strict=True))
    assert len(plain.logger.series("train/samples")) == EPOCHS * BATCHES
    assert [step for step, _ in found.logger.series("train/device/samples_per_sec")][-1] == steps[-1]
