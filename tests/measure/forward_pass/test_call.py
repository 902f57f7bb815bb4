from collections import namedtuple

import pytest
import torch
from torch import nn

from puffer_callbacks.measure.forward_pass.batches import first_samples, on_device
from puffer_callbacks.measure.forward_pass.call import forward


class ReturnsArguments(nn.Module):
    """Gives back what it was called with."""

    def forward(self, source, target, mask=None):
        return source, target, mask


class Observes(nn.Module):
    def forward(self, x):
        return x


class Everything(nn.Module):
    def forward(self, input_ids=None, attention_mask=None, **more):
        return input_ids, attention_mask, more


def test_a_tensor_is_passed_as_the_argument():
    assert forward(Observes(), "batch") == "batch"


def test_of_a_tuple_the_required_arguments_are_passed_without_targets():
    assert forward(Observes(), ("x", "label", "weight")) == "x"
    assert forward(ReturnsArguments(), ["a", "b", "label"]) == ("a", "b", None)
    assert forward(Everything(), ("ids", "label")) == ("ids", None, {})


def test_of_a_mapping_the_named_parameters_are_passed():
    assert forward(ReturnsArguments(), {"target": "b", "source": "a", "other": 0}) == ("a", "b", None)
    assert forward(Everything(), {"input_ids": 1, "labels": 2}) == (1, None, {})


@pytest.mark.parametrize("name", ["observations", "obs", "inputs", "state"])
def test_of_a_mapping_without_named_parameters_the_observations_are_passed(name):
    assert forward(Observes(), {"actions": 1, name: "seen"}) == "seen"


def test_a_mapping_without_a_known_name_is_passed_whole():
    assert forward(Observes(), {"pixels": 1}) == {"pixels": 1}


def test_a_function_is_called_with_the_module():
    module = Observes()
    assert forward(module, lambda each: (each is module, each(3))) == (True, 3)


def test_of_a_module_without_a_forward_pass_the_network_is_called():
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.policy = Observes()

    assert forward(Holder(), ("x", "y")) == "x"
    with pytest.raises(ValueError, match="expected a batch that Module takes, got NotImplementedError"):
        forward(nn.Module(), "x")


def test_an_error_keeps_its_cause():
    with pytest.raises(ValueError, match="expected a batch that Linear takes") as refused:
        forward(nn.Linear(3, 1), torch.ones(2, 4))
    assert isinstance(refused.value.__cause__, RuntimeError)


def test_first_samples_are_copies():
    pair = namedtuple("pair", "x y")
    batch = pair(torch.arange(9.0), [{"z": torch.ones(9, 2)}, "words", 3])
    kept = first_samples(batch, Observes(), count=4)
    batch.x.zero_()
    assert isinstance(kept, pair) and kept.x.tolist() == [0, 1, 2, 3]
    assert kept.y[0]["z"].shape == (4, 2) and kept.y[1:] == ["words", 3]


@pytest.mark.parametrize(
    ("batch", "module"),
    [
        ((torch.ones(9), torch.ones(8)), Observes()),
        ((torch.ones(9), torch.tensor(1.0)), Observes()),
        (torch.ones(9, 2, 4), nn.MultiheadAttention(4, 2)),  # the samples are in the second dimension
    ],
)
def test_a_batch_with_an_ambiguous_sample_dimension_is_kept_whole(batch, module):
    kept = first_samples(batch, module, count=4)
    first = kept[0] if isinstance(kept, tuple) else kept
    assert len(first) == 9


def test_a_batch_is_moved_to_the_modules_device():
    moved = on_device({"x": torch.ones(2)}, nn.Linear(2, 2, device="meta"))
    assert moved["x"].is_meta
    assert on_device("words", Observes()) == "words"
