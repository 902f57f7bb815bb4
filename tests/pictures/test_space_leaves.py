from collections import namedtuple

import numpy as np
import pytest
import torch

from puffer_callbacks.pictures.space_leaves import flatten_space


def test_a_tensor_is_one_leaf_of_the_first_environments():
    tensor = torch.randn(5, 4, 3, requires_grad=True)
    (leaf,) = flatten_space(tensor, num_envs=2).values()
    assert np.array_equal(leaf, tensor[:, :2].detach().numpy())
    assert flatten_space(torch.ones(2, 2, dtype=torch.bfloat16))[""].dtype == np.float32


def test_mappings_and_tuples_are_flattened_by_path():
    pair = namedtuple("pair", "left right")
    tree = {"eyes": pair(torch.zeros(5, 2, 8), np.ones((5, 2))), "ears": (torch.zeros(5, 2), None)}
    assert {path: leaf.shape for path, leaf in flatten_space(tree).items()} == {
        "eyes/left": (5, 2, 8),
        "eyes/right": (5, 2),
        "ears/0": (5, 2),
    }


def test_lists_of_single_observations_are_stacked():
    steps = [[{"a": np.full(3, t), "b": (t, "word")} for _ in range(4)] for t in range(5)]
    found = flatten_space(steps, num_envs=2)
    assert {path: leaf.shape for path, leaf in found.items()} == {
        "a": (5, 2, 3),
        "b/0": (5, 2),
        "b/1": (5, 2),
    }
    assert found["b/0"][:, 0].tolist() == [0, 1, 2, 3, 4] and found["b/1"].dtype.kind == "U"


def test_sequences_of_different_lengths_are_padded_with_nan():
    steps = [[tuple(np.full(2, i) for i in range(length))] for length in (1, 3, 2)]
    (leaf,) = flatten_space(steps).values()
    assert leaf.shape == (3, 1, 3, 2)
    assert leaf[0, 0, 0].tolist() == [0, 0] and np.isnan(leaf[0, 0, 1:]).all() and np.isfinite(leaf[1]).all()


def test_other_objects_are_represented_as_strings():
    (leaf,) = flatten_space([[object()], [3]]).values()
    assert leaf.dtype.kind == "U" and leaf[1, 0] == "3"
    assert flatten_space([[None], [None]]) == {}


def test_an_unsupported_type_raises():
    with pytest.raises(TypeError, match="tensors, arrays, mappings, tuples or lists, got int"):
        flatten_space(3)
