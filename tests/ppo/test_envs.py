import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.vector import AutoresetMode

from puffer_callbacks.ppo.envs import action_clipper, make_envs, resolve_env_id
from tests.ppo.environments import Counter, registered


@pytest.mark.parametrize("name", ["CartPole", "CartPole-v1"])
def test_the_newest_version_is_meant(name):
    assert resolve_env_id(name) == "CartPole-v1"


def test_a_module_to_import_stays_in_the_name():
    name = resolve_env_id("gymnasium:CartPole")
    assert name == "gymnasium:CartPole-v1"
    assert make_envs(name, num_envs=1).single_observation_space.shape == (4,)


def test_an_old_version_can_be_asked_for():
    assert resolve_env_id("CartPole-v0") == "CartPole-v0"


def test_versions_are_compared_as_numbers():
    with registered("Counter-v2", Counter), registered("Counter-v10", Counter):
        assert resolve_env_id("Counter") == "Counter-v10"


@pytest.mark.parametrize(
    ("name", "near"),
    [("cartpole", "CartPole-v1"), ("CartPol-v9", "CartPole-v1"), ("Pendulumm", "Pendulum-v1")],
)
def test_an_unknown_name_gives_near_ones_in_one_line(name, near):
    with pytest.raises(ValueError) as caught:
        resolve_env_id(name)
    line, _, names = str(caught.value).partition("; near: ")
    assert line == f"env_id: expected a registered environment, got '{name}'"
    assert near in names.split(", ")


def test_a_name_like_no_other_and_a_missing_module():
    with pytest.raises(
        ValueError, match=r"got 'Zzzzzzzz'; name its module too \(my_envs:MyEnv-v0\), or install its package$"
    ):
        resolve_env_id("Zzzzzzzz")
    with pytest.raises(ValueError, match=r"got 'tests.ppo:Zzzzzzzz'; register it in tests.ppo$"):
        resolve_env_id("tests.ppo:Zzzzzzzz")
    with pytest.raises(ValueError, match=r"cannot import the module of 'no_such_module:X-v0'"):
        resolve_env_id("no_such_module:X-v0")
    with pytest.raises(TypeError, match=r"^env_id: expected a string, got int$"):
        resolve_env_id(3)


def test_a_missing_package_is_named_with_its_remedy():
    def absent(**arguments):
        raise ModuleNotFoundError("No module named 'bowling'", name="bowling")

    def undone(**arguments):
        raise gymnasium.error.DependencyNotInstalled("Bowling is missing,\nrun `pip install bowling`")

    for entry_point in (absent, undone):
        line = r"^env_id: cannot make Bowling-v0: .*(; try|, run) `pip install bowling`$"
        with registered("Bowling-v0", entry_point), pytest.raises(ValueError, match=line):
            make_envs("Bowling", num_envs=2)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no rooms"), "ValueError: no rooms"),
        (FileNotFoundError(2, "No such file", "maze.png"), "FileNotFoundError: [Errno 2] No such file: 'maze.png'"),
    ],
)
def test_an_environment_that_cannot_be_made_is_named(error, line):
    def refuses(**arguments):
        raise error

    with registered("Maze-v0", refuses), pytest.raises(ValueError) as caught:
        make_envs("Maze", num_envs=2)
    assert str(caught.value) == f"env_id: cannot make Maze-v0: {line}"


@pytest.mark.parametrize("name", ["CartPole", "Pendulum", "Acrobot"])
def test_episodes_start_anew_in_the_step_that_ends_them(name):
    envs = make_envs(name, num_envs=3)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.num_envs == 3
    envs.close()


def test_cart_pole_is_gymnasium_s_in_every_transition():
    envs, single = make_envs("CartPole", num_envs=4), CartPoleEnv()
    before, _ = envs.reset(seed=0)
    single.reset(seed=0)
    rng, steps, ended = np.random.default_rng(0), np.zeros(4, int), 0
    for _ in range(300):
        actions = rng.integers(0, 2, 4)
        states = envs.unwrapped.state.T.copy()  # what the float32 observations are rounded from
        after, rewards, terminated, truncated, infos = envs.step(actions)
        steps += 1
        for n in range(4):
            single.state, single.steps_beyond_terminated = states[n], None
            expected, reward, over, *_ = single.step(int(actions[n]))
            done = terminated[n] or truncated[n]
            np.testing.assert_allclose(infos["final_obs"][n] if done else after[n], expected, rtol=1e-5)
            assert (rewards[n], terminated[n], truncated[n]) == (reward, over, steps[n] >= 500)
            if done:
                assert np.abs(after[n]).max() <= 0.05
                steps[n], ended = 0, ended + 1
        before = after
    assert ended > 20 and before.shape == (4, 4)


def test_cart_pole_is_cut_at_its_time_limit():
    envs = make_envs("CartPole", num_envs=2)
    envs.reset(seed=0)
    envs.unwrapped.steps[:] = [499, 3]
    _, _, terminated, truncated, infos = envs.step(np.array([0, 1]))
    assert (terminated.tolist(), truncated.tolist()) == ([False, False], [True, False])
    assert envs.unwrapped.steps.tolist() == [0, 4]
    _, rewards, terminated, truncated, infos = envs.step(np.array([0, 1]))
    assert rewards.tolist() == [1.0, 1.0] and not (terminated | truncated).any() and not infos


def test_actions_are_clipped_to_the_space():
    low, high = np.array([[-1, 0], [1, np.inf]], np.float32)
    box = action_clipper(spaces.Box(low, high))
    assert box(np.array([[-3.0, -3.0], [0.5, 9.0]])).tolist() == [[-1.0, 0.0], [0.5, 9.0]]
    assert action_clipper(spaces.Discrete(3, start=5))(np.array([0, 2])).tolist() == [5, 7]
    assert action_clipper(spaces.MultiDiscrete([2, 3], start=[1, 0]))(np.array([[0, 2]])).tolist() == [[1, 2]]
    plain = np.array([0, 1])
    assert action_clipper(spaces.Discrete(2))(plain) is plain
