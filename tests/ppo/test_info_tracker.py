import numpy as np

from puffer_callbacks.ppo.info_tracker import InfoTracker


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
