import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from puffer_callbacks.pictures import observations
from puffer_callbacks.pictures.colormap import MISSING
from puffer_callbacks.pictures.heatmap import heatmap
from puffer_callbacks.pictures.observations import observation_image
from puffer_callbacks.pictures.space_leaves import flatten_space
from puffer_callbacks.pictures.transitions import Transitions

STEPS, ENVS = 9, 2


def transitions(steps=STEPS, envs=ENVS, **fields):
    rng = np.random.default_rng(0)
    dones = np.zeros((steps, envs), bool)
    dones[-1] = True
    full = {"actions": {"": rng.integers(0, 4, (steps, envs))}, "rewards": rng.normal(size=(steps, envs))}
    return Transitions(**{**full, "dones": dones, "values": rng.normal(size=(steps, envs)), **fields})


BOX = spaces.Box(-1, 1, (3,))
SPACES = {
    "vector": BOX,
    "scalar": spaces.Box(-1, 1, ()),
    "unbounded": spaces.Box(-np.inf, np.inf, (2, 3)),
    "pixels": spaces.Box(0, 255, (12, 10, 3), np.uint8),
    "stack": spaces.Box(0, 255, (4, 12, 10), np.uint8),
    "discrete": spaces.Discrete(5, start=2),
    "multi-discrete": spaces.MultiDiscrete([3, 4]),
    "multi-discrete grid": spaces.MultiDiscrete([[3, 4], [5, 6]]),
    "multi-binary": spaces.MultiBinary(6),
    "multi-binary grid": spaces.MultiBinary((7, 8)),
    "text": spaces.Text(8),
    "dict": spaces.Dict(camera=spaces.Box(0, 1, (8, 8)), speed=BOX, goal=spaces.Dict(room=spaces.Discrete(3))),
    "tuple": spaces.Tuple((BOX, spaces.Discrete(2), spaces.Text(5))),
    "sequence": spaces.Sequence(BOX, seed=1),
    "sequence of texts": spaces.Sequence(spaces.Text(4), seed=1),
    "sequence of dicts": spaces.Sequence(spaces.Dict(a=BOX, b=spaces.Discrete(2)), seed=1),
    "stacked sequence": spaces.Sequence(BOX, seed=1, stack=True),
    "graph": spaces.Graph(BOX, spaces.Discrete(3), seed=1),
    "graph without edges": spaces.Graph(BOX, None, seed=1),
    "one of": spaces.OneOf((BOX, spaces.Discrete(3), spaces.MultiBinary(2))),
    "one of with texts": spaces.OneOf((BOX, spaces.Text(3))),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_space_of_gymnasium_has_a_picture(name):
    space = SPACES[name]
    space.seed(3)
    found = flatten_space([[space.sample() for _ in range(ENVS)] for _ in range(STEPS)])
    assert found
    for path, leaf in found.items():
        assert observation_image(leaf, transitions(), title=path or "observations").pixels.size


@pytest.mark.parametrize("name", ["vector", "pixels", "discrete", "multi-binary grid", "dict", "multi-discrete"])
def test_batched_observations_are_the_same_as_one_by_one(name):
    space = SPACES[name]
    batched = batch_space(batch_space(space, ENVS), STEPS)
    batched.seed(3)
    tree = batched.sample()
    for path, leaf in flatten_space(tree).items():
        assert leaf.shape[:2] == (STEPS, ENVS)
        assert observation_image(leaf, transitions(), title=path or "observations").pixels.size


def test_the_caption_contains_step_action_value_and_reward():
    steps = Transitions(
        {"": np.array([[1], [0]])}, np.array([[0.5], [2.0]]), np.array([[False], [True]]), np.ones((2, 1))
    )
    image = observation_image(np.zeros((2, 1, 3)), steps)
    assert image.caption == (
        "observations: environment 0, steps 0 to 1; env 0: step 1, done, action 0, value 1, reward 2"
    )


@pytest.mark.parametrize("shape", [(3,), (12, 10, 3), (200,)])
def test_non_finite_numbers_are_magenta_and_counted(shape):
    leaf = np.full((STEPS, ENVS, *shape), 0.5)
    leaf[0, 1].flat[0] = np.nan
    leaf[0, 1].flat[1] = np.inf
    image = observation_image(leaf, transitions())
    assert ", 2 not finite (magenta)" in image.caption
    assert (image.pixels == MISSING).all(-1).any()


def test_frames_are_evenly_spaced_steps_of_the_same_environments():
    leaf = np.zeros((50, 2, 8, 8, 3), np.uint8)
    leaf[:, :, ...] = np.linspace(60, 255, 50).astype(np.uint8)[:, None, None, None, None]
    image = observation_image(leaf, transitions(50), num_samples=3)
    shown = [gray for gray in np.unique(leaf) if (image.pixels == gray).all(-1).sum() >= 2 * 128 * 128]
    assert shown == [leaf[step, 0, 0, 0, 0] for step in (0, 24, 49)]


def test_scales_are_shared_by_all_environments():
    leaf = np.zeros((4, 2, 1))
    leaf[:, 1] = 10
    image = observation_image(leaf, transitions(4))
    dark, bright = ((image.pixels == color).all(-1).sum() for color in ([68, 1, 84], [253, 231, 37]))
    assert dark > 1000 and bright > 1000


def test_names_label_the_numbers():
    leaf = np.zeros((STEPS, ENVS, 2))
    plain = observation_image(leaf, transitions())
    named = observation_image(leaf, transitions(), names=["a rather long position", "v"])
    assert named.pixels.shape[1] > plain.pixels.shape[1]
    wrong = observation_image(leaf, transitions(), names=["one name for two numbers"])
    assert np.array_equal(wrong.pixels, plain.pixels)


def test_numbers_of_one_name_are_all_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr(observations, "heatmap", lambda sections: drawn.append(sections) or heatmap(sections))
    leaf = np.arange(2.0 * STEPS).reshape(STEPS, 1, 2)
    observation_image(leaf, transitions(envs=1), names=["x", "x"])
    first, second = drawn[0][0]
    assert np.array_equal(first.values, leaf[:, 0, 0]) and np.array_equal(second.values, leaf[:, 0, 1])
    assert (first.low, second.low) == (0.0, 1.0)


@pytest.mark.parametrize("actions", [{}, {"": np.array([["go"] * ENVS] * STEPS)}, {"a": np.ones((STEPS, ENVS, 3))}])
@pytest.mark.parametrize("values", [None, np.full((STEPS, ENVS), np.nan)])
def test_any_actions_and_values_are_drawn(actions, values):
    for leaf in (np.zeros((STEPS, ENVS, 3)), np.zeros((STEPS, ENVS, 9, 9))):
        assert observation_image(leaf, transitions(actions=actions, values=values)).pixels.size


@pytest.mark.parametrize("shape", [(9, 2, 0), (9, 2, 0, 84, 3), (0, 2, 3), (9, 0, 3)])
def test_an_empty_observation_raises(shape):
    with pytest.raises(ValueError, match=r"eyes: expected an observation with at least one value .* got the shape"):
        observation_image(np.zeros(shape), transitions(), title="eyes")


def test_a_number_that_is_the_whole_observation_has_another_name_than_the_critics_value(monkeypatch):
    drawn = []
    monkeypatch.setattr(observations, "heatmap", lambda sections: drawn.append(sections) or heatmap(sections))
    observation_image(np.zeros((STEPS, 1)), transitions(envs=1))
    assert [strip.name for section in drawn[0] for strip in section] == [
        "observation",
        "action",
        "value",
        "reward",
        "done",
    ]
