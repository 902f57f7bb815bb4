"""The training steps at which ranks gather, from the steps at which rollouts ended."""

from puffer_callbacks.callbacks.gather_schedule import GatherSchedule


def planned(schedule, *gatherings):
    """Where the schedule gathers next, after each of these gatherings."""
    return [schedule.gathered(steps, ended_at) or schedule.next for steps, ended_at in gatherings]


def test_a_steady_number_of_updates_gives_the_next_gathering():
    assert planned(GatherSchedule(), (1, [0]), (5, [4]), (9, [8])) == [2, 9, 13]


def test_rollouts_that_ranks_end_at_different_steps():
    """The order of ranks does not matter, and rollouts that end at one step are no period of 0."""
    assert planned(GatherSchedule(), (1, [0]), (11, [10, 4, 10]), (12, [10])) == [2, 17, 17]


def test_it_waits_ever_longer_where_no_rollout_ends():
    ends = planned(GatherSchedule(), (1, []), (3, []), (7, []), (15, []), (31, []), (47, []), (63, [62]))
    assert ends == [3, 7, 15, 31, 47, 63, 64]


def test_a_late_rollout_is_gathered_at_the_next_step():
    """Of a rollout that ended long ago the next may have ended as well."""
    assert planned(GatherSchedule(), (1, [0]), (30, [4])) == [2, 31]


def test_a_fit_begins_anew():
    schedule = GatherSchedule()
    planned(schedule, (1, [0]), (5, [4]), (6, []), (8, []))
    schedule.resume_at(100)
    assert schedule.next == 101
    assert planned(schedule, (101, []), (103, [102])) == [103, 104]
