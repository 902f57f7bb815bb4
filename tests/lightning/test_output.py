"""Lightning's progress bars, summaries, timers and profilers beside all of ours: the same fit, and they see ours."""

from datetime import timedelta

import pytest
from lightning.pytorch.callbacks import (
    DeviceStatsMonitor,
    ModelSummary,
    RichProgressBar,
    ThroughputMonitor,
    Timer,
    TQDMProgressBar,
)

from tests.lightning.fits import BATCH_SIZE, BATCHES, EPOCHS, both, check, fit, means

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
    found, _ = both(tmp_path, lambda: ModelSummary(max_depth=-1))
    check(found)
    assert caplog.text.count("backbone.0") == 2


def test_throughput_monitor(tmp_path):
    found, plain = both(tmp_path, lambda: ThroughputMonitor(lambda batch: len(batch[0]), window_size=2))
    check(found)
    assert found.logger.series("train/samples") == plain.logger.series("train/samples")
    assert [value for _, value in found.logger.series("train/samples")][-1] == EPOCHS * BATCHES * BATCH_SIZE
    for tag in ("train/batches", "train/device/samples_per_sec"):
        steps = [step for step, _ in plain.logger.series(tag)]
        assert steps and [step for step, _ in found.logger.series(tag)] == steps
