"""What a run wrote again stands once, by the order of its steps."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from puffer_callbacks.runs import diagnose_run, read_run
from puffer_callbacks.runs.order import in_order, restarts


@pytest.mark.parametrize(
    ("steps", "places", "found"),
    [
        ([], [], []),
        ([7], [0], []),
        ([0, 1, 1, 2], [0, 1, 2, 3], []),  # several episodes of one step
        ([0, 10, 20, 10, 20, 30], [0, 3, 4, 5], [(20, 10)]),
        ([0, 10, 20, 0], [3], [(20, 0)]),
        ([0, 10, 20, 10, 20, 10, 20], [0, 1, 3, 5, 2, 4, 6], []),  # too often for so few points: several writers
        ([*range(50), *range(40, 60), *range(20, 70)], [*range(20), *range(70, 120)], [(49, 40), (59, 20)]),
    ],
)
def test_what_is_written_again_replaces_what_was_there(steps, places, found):
    assert in_order(steps).tolist() == places
    assert restarts(steps) == found


def test_of_writers_side_by_side_no_point_is_left_out():
    steps = np.random.default_rng(0).permutation(1000)
    assert np.array_equal(steps[in_order(steps)], np.arange(1000))
    assert restarts(steps) == []


def sessions(folder, *ranges, purge):
    for number, steps in enumerate(ranges):
        with SummaryWriter(folder, purge_step=steps[0] if purge else None, filename_suffix=f".{number}") as writer:
            for step in steps:
                writer.add_scalar("train/reward", 1000 * number + step, step)
        (file,) = folder.glob(f"events.*.{number}")
        file.rename(folder / f"events.out.tfevents.{number}")  # those of one second are not in order by their names


@pytest.mark.parametrize("second", [range(30, 80), range(0, 20), range(50, 60)])
def test_it_is_what_tensorboard_shows_of_a_purged_run(tmp_path, second):
    sessions(tmp_path / "ours", range(50), second, purge=False)
    sessions(tmp_path / "theirs", range(50), second, purge=True)
    reference = EventAccumulator(str(tmp_path / "theirs"))
    reference.Reload()
    steps, values = read_run(tmp_path / "ours").series("train/reward")
    shown = [(steps[place], values[place]) for place in in_order(steps)]
    assert shown == [(event.step, event.value) for event in reference.Scalars("train/reward")]


def test_a_run_that_began_again_says_so_and_is_judged_by_its_last_session(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for session, rate in enumerate((0.0, 0.1)):
            for step in range(0, 2000, 100):
                writer.add_scalar("train/learning_rate", rate, step + 10 * session)
    run = read_run(tmp_path)
    assert run.restarts == [(1900, 10)]
    assert run.problems == [
        "the steps go back from 1,900 to 10; what was written before of that step and beyond is left out"
    ]
    assert (len(run.series("train/learning_rate")[0]), run.first_step, run.last_step) == (40, 0, 1910)
    assert diagnose_run(run).findings == ()
