"""Configurations of every kind as flat settings."""

import math
from argparse import Namespace
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import pytest
import torch

from puffer_callbacks.config.flatten import flat_settings


@dataclass
class Optimizer:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    schedule: dict[str, int] = field(default_factory=lambda: {"steps": 10})


class Mode(Enum):
    FAST = 1


class Wordless:
    def __str__(self):
        raise OSError("not now")


def test_nested_configurations_are_joined_by_slashes():
    config = {"ppo": Namespace(optimizer=Optimizer(), hidden=[64, 64]), "envs": [{"id": "a"}, {"id": "b"}]}
    assert flat_settings(config, "run/") == {
        "run/ppo/optimizer/lr": 0.1,
        "run/ppo/optimizer/betas": "(0.9, 0.99)",
        "run/ppo/optimizer/schedule/steps": 10,
        "run/ppo/hidden": "[64, 64]",
        "run/envs/0/id": "a",
        "run/envs/1/id": "b",
    }


@pytest.mark.parametrize(
    ("value", "setting"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (torch.tensor(True), True),
        (torch.tensor([1, 2]), "tensor([1, 2])"),
        (None, "None"),
        (Mode.FAST, "FAST"),
        (torch.nn.ReLU, "ReLU"),
        (torch.nn.ReLU(), "ReLU"),
        (math.sqrt, "sqrt"),
        (Optimizer, "Optimizer"),
        (np.complex64(1j), "1j"),
        (torch.zeros((), device="meta"), "tensor(..., device='meta', size=())"),
        (Wordless(), "<Wordless>"),
        ("a\ud800b", "a?b"),
        (range(3), "range(0, 3)"),
        (10**400, str(10**400)),
        ({}, "{}"),
        (b"bytes", "b'bytes'"),
        ("x" * 2000, "x" * 1000),
    ],
)
def test_a_setting_is_a_number_string_or_boolean(value, setting):
    found = flat_settings({"a": value})["a"]
    assert found == setting and type(found) is type(setting)


def test_a_configuration_that_contains_itself_ends():
    config = {"gamma": 0.99}
    config["self"] = config
    config["list"] = [config]
    assert flat_settings(config)["gamma"] == 0.99


def test_of_omegaconf_missing_values_alone_are_left_out():
    create = pytest.importorskip("omegaconf").OmegaConf.create
    config = create(
        {
            "gamma": 0.99,
            "entity": "???",
            "refers": "${entity}",
            "unknown": "${nowhere}",
            "twice": "${gamma}",
            "hidden": [64, "???"],
            "net": {"width": 8, "depth": "???"},
            "envs": [{"id": "a", "seed": "???"}],
        }
    )
    found = flat_settings({"cfg": config, "lr": 0.1})
    assert found == {
        "cfg/gamma": 0.99,
        "cfg/twice": 0.99,
        "cfg/hidden": "[64, '???']",
        "cfg/net/width": 8,
        "cfg/envs/0/id": "a",
        "lr": 0.1,
    }
