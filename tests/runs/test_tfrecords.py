"""Damage to event files: what is whole is read, and what is not is named."""

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from torch.utils.tensorboard import SummaryWriter

from puffer_callbacks.runs import read_run
from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.tfrecords import whole_records
from tests.support.reading import tensorboard_scalars


@pytest.fixture
def file(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for step in range(50):
            writer.add_scalar("train/loss", step / 3, step)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    return path


def offsets(path):
    """Where the records begin."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        found.append(at)
        at += int.from_bytes(data[at : at + 8], "little") + 16
    return found


def steps(run):
    return run.series("train/loss")[0].tolist()


def test_whole_file_has_every_event(file):
    contents = Contents()
    data = file.read_bytes()
    events = [Event.FromString(data[start:end]) for start, end in whole_records(data, file.name, contents)]
    assert [event.step for event in events] == [0, *range(50)]  # the first has the version of the format
    assert contents.problems == []


@pytest.mark.parametrize("missing", [1, 4, 20, 40])
def test_a_file_cut_short_is_read_up_to_the_cut(file, missing):
    file.write_bytes(file.read_bytes()[:-missing])
    run = read_run(file)
    assert steps(run) == list(range(49))
    assert steps(run) == [step for step, _ in tensorboard_scalars(file.parent)["train/loss"]]
    (problem,) = run.problems
    assert file.name in problem
    assert "cut short" in problem


def test_damaged_data_is_left_out_and_the_rest_is_read(file):
    data, at = bytearray(file.read_bytes()), offsets(file)
    data[at[11] - 5] ^= 1  # the last byte of a record's data, of its float
    file.write_bytes(data)
    run = read_run(file)
    assert steps(run) == [step for step in range(50) if step != 9]
    assert run.problems == [f"{file.name}: damaged at byte {at[10]}; {at[11] - at[10]} bytes were left out"]


def test_after_a_torn_record_reading_goes_on(file):
    """A process was killed while it wrote, and another appended: TensorBoard's reader stops there."""
    data, at = file.read_bytes(), offsets(file)
    torn = data[: at[10] + 20]
    file.write_bytes(torn + data[at[20] :])
    run = read_run(file)
    assert steps(run) == [*range(9), *range(19, 50)]
    assert run.problems == [f"{file.name}: damaged at byte {at[10]}; 20 bytes were left out"]
    assert len(tensorboard_scalars(file.parent)["train/loss"]) == 9


def test_a_tail_of_zeros(file):
    """What a machine that lost power leaves at the end of a file."""
    file.write_bytes(file.read_bytes() + bytes(5000))
    run = read_run(file)
    assert steps(run) == list(range(50))
    assert "5000 bytes were left out" in run.problems[0]


def test_random_damage_never_changes_a_number(file):
    """Any one byte may flip: a point is left out or right, and whatever is left out is named."""
    data = file.read_bytes()
    truth = dict(zip(steps(read_run(file)), read_run(file).series("train/loss")[1], strict=True))
    for at in np.random.default_rng(0).choice(len(data), 200, replace=False).tolist():
        changed = bytearray(data)
        changed[at] ^= 0x10
        file.write_bytes(changed)
        run = read_run(file)
        found = dict(zip(*run.series("train/loss"), strict=True))
        assert found.items() <= truth.items()
        assert run.problems
