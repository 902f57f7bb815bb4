import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import distributions

from puffer_callbacks.evaluation.actions import to_action
from puffer_callbacks.ppo.distributions import DiagonalGaussian, MultiCategorical

BOX = spaces.Box(-1, 1, (2,))
LOGITS = torch.tensor([[0.1, 3.0, 0.2]])


class Output:
    def __init__(self, **fields):
        vars(self).update(fields)


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        LOGITS[0],
        LOGITS.softmax(-1).numpy(),
        LOGITS.bfloat16(),
        (LOGITS, torch.zeros(1)),
        {"logits": LOGITS, "value": 0.0},
        Output(logits=LOGITS, value=0.0),
        distributions.Categorical(logits=LOGITS),
        (distributions.Categorical(logits=LOGITS), torch.zeros(1)),
        torch.tensor([1]),
        torch.tensor(1.0),
        np.int64(1),
        1,
        (torch.tensor([1]), torch.tensor([-0.5]), torch.tensor([0.7])),
    ],
)
def test_a_discrete_action_is_converted_from_any_output(output):
    assert to_action(output, spaces.Discrete(3)) == 1


def test_discrete_actions_start_at_the_start_of_the_space():
    assert to_action(LOGITS, spaces.Discrete(3, start=5)) == 6
    assert to_action(torch.tensor([6]), spaces.Discrete(3, start=5)) == 6


@pytest.mark.parametrize(
    "output",
    [
        torch.tensor([[1.0, 2.0, 0.0, 0.5, 9.0]]),
        (torch.tensor([[1.0, 2.5]]), torch.tensor([[0.0, 0.5, 9.0]])),
        [torch.tensor([1.0, 2.5]), torch.tensor([0.0, 0.5, 9.0])],
        ((torch.tensor([[1.0, 2.5]]), torch.tensor([[0.0, 0.5, 9.0]])), torch.zeros(1)),
        torch.tensor([[1, 2]]),
        MultiCategorical(torch.tensor([[1.0, 2.0, 0.0, 0.5, 9.0]]), (2, 3)),
    ],
)
def test_multi_discrete_actions(output):
    action = to_action(output, spaces.MultiDiscrete([2, 3]))
    assert action.tolist() == [1, 2] and spaces.MultiDiscrete([2, 3]).contains(action)


def test_multi_discrete_actions_start_at_the_start_of_the_space():
    space = spaces.MultiDiscrete([2, 3], start=[5, 7])
    assert to_action(torch.tensor([[1.0, 2.5, 0.0, 0.5, 9.0]]), space).tolist() == [6, 9]
    assert to_action(torch.tensor([[6, 9]]), space).tolist() == [6, 9]


@pytest.mark.parametrize(
    "output",
    [
        torch.tensor([[0.25, -7.0]]),
        torch.tensor([[0.25, -7.0, 0.1, 0.1]]),  # mean, then spread
        [0.25, -7.0],
        {"mean": torch.tensor([[0.25, -7.0]])},
        distributions.Normal(torch.tensor([[0.25, -7.0]]), torch.ones(1, 2)),
        distributions.Independent(distributions.Normal(torch.tensor([[0.25, -7.0]]), torch.ones(1, 2)), 1),
        DiagonalGaussian(torch.tensor([[0.25, -7.0]]), torch.zeros(2)),
    ],
)
def test_continuous_actions_are_clipped_to_the_bounds(output):
    action = to_action(output, BOX)
    assert action.tolist() == [0.25, -1.0] and action.dtype == np.float32 and BOX.contains(action)


def test_an_action_keeps_its_digits():
    space = spaces.Box(-1, 1, (2,), np.float64)
    assert to_action(torch.tensor([[0.1, -0.7]], dtype=torch.float64), space).tolist() == [0.1, -0.7]


def test_the_spread_beside_a_mean_is_no_action():
    space = spaces.Box(-1, 1, (3,))
    assert to_action(torch.tensor([[0.5, 0.25, -0.5, 9.0, 9.0, 9.0]]), space).tolist() == [0.5, 0.25, -0.5]
    with pytest.raises(ValueError, match=r"got float32 of shape \[1, 5\]"):
        to_action(torch.zeros(1, 5), space)


def test_a_distribution_without_a_mode_returns_its_mean_or_a_sample():
    normal = distributions.Normal(torch.zeros(1, 2), torch.ones(1, 2))
    mixture = distributions.MixtureSameFamily(
        distributions.Categorical(torch.ones(1, 2, 1)),
        distributions.Normal(torch.ones(1, 2, 1), torch.ones(1)),
    )
    assert to_action(mixture, BOX).tolist() == [1.0, 1.0]
    squashed = distributions.TransformedDistribution(normal, distributions.TanhTransform())
    assert BOX.contains(to_action(squashed, BOX))


def test_multi_binary_actions_are_logits_or_bits():
    assert to_action(torch.tensor([[0.5, -0.5, 2.0]]), spaces.MultiBinary(3)).tolist() == [1, 0, 1]
    for bits in (torch.tensor([[1, 0, 1]]), torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[True, False, True]])):
        assert to_action(bits, spaces.MultiBinary(3)).tolist() == [1, 0, 1]


def test_nested_and_other_spaces():
    space = spaces.Dict(move=spaces.Discrete(3), push=BOX)
    action = to_action({"move": LOGITS, "push": torch.zeros(1, 2)}, space)
    assert action["move"] == 1 and space.contains(action)
    both = spaces.Tuple((spaces.Discrete(3), BOX))
    assert both.contains(to_action((LOGITS, torch.zeros(1, 2)), both))
    assert to_action("go", spaces.Text(5)) == "go"


@pytest.mark.parametrize(
    ("output", "space", "given"),
    [
        (torch.zeros(1, 7), spaces.Discrete(3), r"float32 of shape \[1, 7\]"),
        (torch.tensor([9]), spaces.Discrete(3), r"int64 of shape \[1\]"),
        (torch.tensor([[0.3]]), spaces.Discrete(3), r"float32 of shape \[1, 1\]"),  # a value, or one logit
        (torch.tensor([torch.nan]), spaces.Discrete(3), r"float32 of shape \[1\]"),
        (torch.tensor([[0.3, 1.0]]), spaces.MultiDiscrete([2, 2]), r"float32 of shape \[1, 2\]"),
        (torch.zeros(1, 5), BOX, r"float32 of shape \[1, 5\]"),
        (None, BOX, "NoneType"),
        ((), BOX, "tuple"),
        ({}, BOX, "dict"),
        ("left", spaces.Discrete(3), "str"),
        ("leftwards", spaces.Text(5), "str"),  # too long for it
        (torch.tensor([2, 0, 1]), spaces.Discrete(3), r"int64 of shape \[3\]"),  # of three environments
        (torch.tensor([1, 0, 1, 0, 1]), spaces.MultiDiscrete([2, 3]), r"int64 of shape \[5\]"),
        (LOGITS, spaces.Dict(move=spaces.Discrete(3)), r"float32 of shape \[1, 3\]"),
        (LOGITS, spaces.Tuple((spaces.Discrete(3),)), r"float32 of shape \[1, 3\]"),
        ((LOGITS, torch.zeros(1)), spaces.Tuple((spaces.Discrete(3),)), r"float32 of shape \[1, 3\]"),
    ],
)
def test_an_output_that_is_not_an_action_raises(output, space, given):
    with pytest.raises(ValueError, match=f"expected an action, logits or a distribution for .*, got {given}"):
        to_action(output, space)
