import json

import numpy as np
import torch

from puffer_callbacks import Axes, Histogram, Image, Text, Video
from puffer_callbacks.backends import unsaved_rows as module
from puffer_callbacks.backends.unsaved_rows import UnsavedRows
from tests.backends.fakes import at


def unsaved(*steps):
    """Rows at these steps, each written at the second of its step."""
    rows = UnsavedRows(lambda axes: axes.optimizer_steps)
    for step in steps:
        rows.add({"a": float(step)}, at(step)).written = float(step)
    return rows


def unsaved_again(state):
    """What a resumed run makes of a checkpoint's part."""
    rows = UnsavedRows(lambda axes: axes.optimizer_steps)
    rows.restore(state)
    return rows


def steps(rows):
    return [row.axes.optimizer_steps for row in rows.rows()]


def test_rows_stay_until_they_are_durable():
    rows = unsaved(1, 2, 3)
    assert (steps(rows), rows.durable_step) == ([1, 2, 3], None)
    rows.mark_durable(written_by=2.0, writer_state={})
    assert (steps(rows), rows.durable_step) == ([3], 2)


def test_a_row_that_waits_keeps_those_behind_it():
    rows = unsaved(1, 2, 3)
    rows.rows()[1].written = None
    rows.mark_durable(written_by=10.0, writer_state={})
    assert (steps(rows), rows.durable_step) == ([2, 3], 1)


def test_a_lost_row_is_forgotten_and_is_not_durable():
    rows = unsaved(1, 2)
    rows.rows()[1].lost = True
    rows.mark_durable(written_by=10.0, writer_state={})
    assert (steps(rows), rows.durable_step) == ([], 1)


def test_the_durable_step_never_goes_back():
    rows = unsaved(5, 3)
    rows.mark_durable(written_by=5.0, writer_state={})
    assert rows.durable_step == 5


def test_a_checkpoint_right_after_a_resume_is_the_one_before_it():
    rows = unsaved(1, 2, 3)
    rows.mark_durable(written_by=1.0, writer_state={"size": 7})
    assert unsaved_again(rows.state_dict()).state_dict() == rows.state_dict()


def test_of_very_many_rows_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(module, "MAX_UNSAVED", 3)
    assert steps(unsaved(1, 2, 3, 4)) == [2, 3, 4]


def test_a_checkpoint_carries_them_in_plain_types_and_without_pictures():
    rows = UnsavedRows(lambda axes: axes.optimizer_steps)
    pixels = np.zeros((2, 2, 3), np.uint8)
    values = {"a": 0.5, "t": Text("words"), "h": Histogram.of(torch.ones(3))}
    rows.add({**values, "i": Image(pixels), "v": Video(pixels[None])}, Axes(16, 4, 2.5))
    rows.add({"lost": 1.0}, at(5)).lost = True
    rows.mark_durable(written_by=0.0, writer_state={"size": 7})
    state = rows.state_dict()
    assert (state["durable_step"], state["writer_state"]) == (None, {"size": 7})
    (row,) = unsaved_again(state).rows()
    assert row.axes == Axes(16, 4, 2.5)
    assert (row.values["a"], row.values["t"], row.values["h"].count) == (0.5, Text("words"), 3)
    assert set(row.values) == set(values)
    json.dumps([state["durable_step"], state["writer_state"], state["rows"][0][1]])
