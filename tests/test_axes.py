import dataclasses
import sys
from time import time

import pytest

from puffer_callbacks import Axes, MetricsCallback, axes
from tests.support.models import Supervised, losses


def test_axes_have_the_three_fields_of_the_contract():
    assert [field.name for field in dataclasses.fields(Axes)] == ["env_steps", "optimizer_steps", "wall_time"]


def test_axes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Axes(1, 2, 3.0).env_steps = 4


def test_every_axis_is_a_scalar_under_its_tag():
    scalars = Axes(env_steps=2048, optimizer_steps=64, wall_time=1.5).as_scalars(elapsed=1.5)
    assert scalars == {"time/env_steps": 2048.0, "time/optimizer_steps": 64.0, "time/elapsed": 1.5}
    assert all(type(value) is float for value in scalars.values())


def test_a_run_without_an_environment_has_no_env_steps():
    assert Axes(None, 64, 1.5).as_scalars(elapsed=1.5) == {"time/optimizer_steps": 64.0, "time/elapsed": 1.5}


class SetsTheClock(Supervised):
    """Sets the system's clock back by an hour in the third of its steps."""

    hours = 0

    def training_step(self, batch, batch_idx):
        self.hours -= batch_idx == 2
        return super().training_step(batch, batch_idx)


def test_a_clock_that_is_set_back_changes_no_second_of_training(quiet_trainer, memory_logger, monkeypatch):
    began, module = time(), SetsTheClock(losses(*map(float, range(4))))
    for each in [each for name, each in sys.modules.items() if name.startswith("puffer_callbacks")]:
        if getattr(each, "time", None) is time:
            monkeypatch.setattr(each, "time", lambda: time() + 3600 * module.hours)
    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(1)]).fit(module)
    seconds = [value for _, value in memory_logger.series("time/elapsed")]
    assert seconds == sorted(seconds)
    assert 0 < seconds[-1] <= time() - began


def test_a_backend_is_given_the_system_s_time(monkeypatch):
    monkeypatch.setattr(axes, "time", lambda: time() + 3600)
    point = Axes(None, 1, axes.now())
    assert point.by_system_clock().wall_time == pytest.approx(time() + 3600, abs=60)
    assert point.wall_time == pytest.approx(time(), abs=60)
