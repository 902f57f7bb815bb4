import random

import gymnasium
import numpy as np
import pytest
import torch

from puffer_callbacks.evaluation.record_episode import record_episode
from tests.support.worlds import Dot


def still(observation):
    return 0


def test_every_step_is_a_frame_and_the_caption_describes_the_episode():
    video = record_episode(Dot(length=6), still, seed=1)
    assert len(video.frames) == 7 and video.fps == 20
    assert video.caption == "return 6 in 6 steps, ended, seed 1"
    assert not np.array_equal(video.frames[0], video.frames[-1])


def test_the_frames_are_those_of_the_environment_enlarged():
    env = Dot(length=3)
    video = record_episode(env, still)
    env.reset(seed=0)
    picture = env.render().repeat(8, 0).repeat(8, 1)
    assert np.array_equal(video.frames[0][: picture.shape[0], : picture.shape[1]], picture)


def test_an_episode_is_bounded():
    video = record_episode(Dot(length=100), still, max_steps=10)
    assert len(video.frames) == 11 and "cut at max_steps=10" in video.caption


@pytest.mark.parametrize(("fps", "frames", "shown"), [(20, 13, 20), (50, 7, 25), (100, 4, 25)])
def test_a_fast_environment_keeps_its_speed_with_fewer_frames(fps, frames, shown):
    video = record_episode(Dot(length=12, fps=fps), still)
    assert (len(video.frames), video.fps) == (frames, shown)


def test_the_same_policy_gives_the_same_episode_and_generators_are_restored():
    def noisy(observation):
        return int(torch.rand(1).item() + random.random() + np.random.rand() > 1.5)

    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draws()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = record_episode(Dot(length=20), noisy, seed=5)
    assert draws() == expected
    assert np.array_equal(first.frames, record_episode(Dot(length=20), noisy, seed=5).frames)
    assert not np.array_equal(first.frames, record_episode(Dot(length=20), noisy, seed=6).frames)


@pytest.mark.parametrize(
    ("render_mode", "frame", "given"),
    [
        (None, None, "NoneType in render_mode None"),
        ("ansi", "words", "str in render_mode 'ansi'"),
        ("rgb_array", np.zeros((0, 0, 3), np.uint8), r"ndarray of shape \[0, 0, 3\]"),
    ],
)
def test_a_render_mode_without_frames_is_named_with_a_remedy(render_mode, frame, given):
    env = Dot(render_mode=render_mode, frame=frame)
    with pytest.raises(ValueError, match=f"expected a frame .* got {given}.*render_mode='rgb_array'"):
        record_episode(env, still)


def test_frames_in_lists_in_gray_and_of_changing_size_are_accepted():
    assert record_episode(Dot(render_mode="rgb_array_list", length=3), still).frames.shape[0] == 4
    assert record_episode(Dot(frame=np.full((20, 30), 0.5)), still).frames.shape[1:] == (118, 150, 3)
    assert record_episode(Dot(growing=True, length=3), still).frames.shape[0] == 4


def test_an_environment_of_gymnasium():
    pytest.importorskip("pygame")
    env = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    video = record_episode(env, lambda observation: int(observation[2] > 0), seed=0)
    env.close()
    assert video.frames.shape[2:] == (400, 3) and video.fps == 25
    assert video.caption.startswith("return ")


def test_max_steps_below_one_raises():
    with pytest.raises(ValueError, match="max_steps of at least 1, got 0"):
        record_episode(Dot(), still, max_steps=0)
    assert "in 1 step" in record_episode(Dot(), still, max_steps=1).caption
