import dataclasses

import pytest

from puffer_callbacks import Axes


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
