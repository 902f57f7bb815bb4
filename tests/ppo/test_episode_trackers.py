import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_callbacks.ppo.episode_trackers import EpisodeTracker, InfoTracker


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_returns_and_lengths_are_those_of_a_plain_loop(data):
    num_envs = data.draw(st.integers(1, 3))
    parts = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    tracker, totals, lengths = EpisodeTracker(num_envs), np.zeros(num_envs), np.zeros(num_envs, int)
    for steps in parts:
        rewards = rng.integers(-5, 5, (steps, num_envs)).astype(np.float32)
        dones = rng.random((steps, num_envs)) < 0.3
        expected = []
        for reward, done in zip(rewards, dones, strict=True):
            totals, lengths = totals + reward, lengths + 1
            expected += [(float(totals[n]), int(lengths[n])) for n in np.flatnonzero(done)]
            totals, lengths = totals * ~done, lengths * ~done
        got_returns, got_lengths = tracker.add(rewards, dones)
        assert list(zip(got_returns.tolist(), got_lengths.tolist(), strict=True)) == expected


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e30])
def test_an_odd_reward_is_in_its_own_episode_alone(odd):
    tracker = EpisodeTracker(1)
    dones = np.array([[False], [True], [False], [True]])
    returns, lengths = tracker.add(np.array([[1.0], [odd], [2.0], [3.0]], np.float32), dones)
    np.testing.assert_array_equal(returns, [1.0 + float(np.float32(odd)), 5.0])
    returns, _ = tracker.add(np.array([[1.0], [1.0], [1.0], [odd]], np.float32), dones)
    np.testing.assert_array_equal(returns, [2.0, 1.0 + float(np.float32(odd))])
    assert lengths.tolist() == [2, 2]


def test_no_episode_means_empty_not_missing():
    returns, lengths = EpisodeTracker(2).add(np.ones((3, 2)), np.zeros((3, 2), bool))
    assert returns.shape == lengths.shape == (0,)
    assert (returns.dtype, lengths.dtype) == (np.float64, np.int64)


def test_reward_parts_are_summed_and_other_numbers_taken_at_the_end():
    tracker = InfoTracker(2)
    names = np.array(["a", "b"], object)
    running = {"reward_run": np.array([1.0, 10.0]), "level": np.array([1, 1]), "name": names}
    tracker.add(running, np.array([False, False]))
    assert tracker.pop() == {}
    ended = np.array([False, True])
    final = {"reward_run": np.array([0.0, 20.0]), "level": np.array([0, 7]), "_level": ended}
    tracker.add({"reward_run": np.array([2.0, 0.0]), "final_info": final}, ended)
    assert tracker.pop() == {"reward_run": [30.0], "level": [7.0]}
    tracker.add({"reward_run": np.array([0.0, 5.0])}, np.array([False, False]))
    tracker.add({"final_info": {"reward_run": np.array([4.0, 1.0])}}, np.array([True, True]))
    assert tracker.pop() == {"reward_run": [7.0, 6.0]}
