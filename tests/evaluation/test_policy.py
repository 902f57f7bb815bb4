import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from puffer_callbacks.evaluation.policy import METHODS, Policy
from puffer_callbacks.ppo.module import PPO

TWO = spaces.Discrete(2)


def test_methods_are_tried_in_order():
    for at, name in enumerate(METHODS[:-1]):
        module = nn.Linear(2, 2)
        for later in METHODS[at:-1]:
            wanted = torch.tensor([1 if later == name else 0])
            setattr(module, later, lambda observations, *_, wanted=wanted: wanted)
        assert Policy(module, TWO)(np.zeros(2)) == 1, name


def test_predict_step_is_called_only_if_the_module_overrides_it():
    class Plain(pl.LightningModule):
        def forward(self, x):
            return torch.tensor([0])

        def actor(self, x):  # comes after predict_step, which calls ``forward`` where it is Lightning's
            return torch.tensor([1])

    class Own(Plain):
        def predict_step(self, batch, batch_idx):
            return torch.tensor([batch_idx])

    class Short(Plain):
        def predict_step(self, batch):
            return torch.tensor([0])

    assert Policy(Plain(), TWO)(np.zeros(2)) == 1
    assert Policy(Own(), TWO)(np.zeros(2)) == 0
    assert Policy(Short(), TWO)(np.zeros(2)) == 0


@pytest.mark.parametrize("form", ["tensor batch", "array batch", "tensor", "array"])
def test_every_form_of_an_observation_is_tried(form):
    kind = torch.Tensor if "tensor" in form else np.ndarray
    shape = (1, 4) if "batch" in form else (4,)

    class Choosy(nn.Module):
        calls = 0

        def act(self, observation):
            self.calls += 1
            assert isinstance(observation, kind) and tuple(observation.shape) == shape
            return 1

    module = Choosy()
    policy = Policy(module, TWO)
    assert policy(np.zeros(4)) == 1
    tried = module.calls
    assert policy(np.zeros(4)) == 1 and module.calls == tried + 1, "the form is found once"


def test_observations_have_the_modules_dtype_and_device():
    class Looks(nn.Linear):
        def forward(self, x):
            self.seen = {name: (each.dtype, tuple(each.shape)) for name, each in x.items()}
            return torch.tensor([0])

    module = Looks(2, 2)
    Policy(module, TWO)({"speed": np.zeros(3), "camera": np.zeros((8, 8, 3), np.uint8), "room": 4})
    assert module.seen == {
        "speed": (torch.float32, (1, 3)),
        "camera": (torch.uint8, (1, 8, 8, 3)),
        "room": (torch.int64, (1,)),
    }


def test_an_observation_of_parts_stays_so():
    class Looks(nn.Linear):
        def forward(self, x):
            self.seen = x
            return torch.tensor([0])

    module = Looks(2, 2)
    Policy(module, TWO)((np.zeros(3), "go north"))
    assert module.seen[0].shape == (1, 3) and module.seen[1] == "go north"


def test_the_reference_module_acts_by_its_own_method():
    module = PPO("CartPole")
    observations = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    policy = Policy(module, module.action_space)
    assert [policy(each) for each in observations] == module.act(observations).tolist()


def test_the_policy_is_deterministic():
    class Noisy(nn.Module):
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return np.array([1 if deterministic else 0]), state

    assert Policy(Noisy(), TWO)(np.zeros(2)) == 1


def test_a_recurrent_policy_keeps_its_state_through_an_episode():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.policy = nn.Linear(2, 2)  # the network inside of it, which has no memory

        def forward_eval(self, observations, state):
            state["lstm_h"] = 0 if state["lstm_h"] is None else state["lstm_h"] + 1
            return torch.tensor([state["lstm_h"] % 2]), None

    policy = Policy(Counts(), TWO)
    assert [policy(np.zeros(2)) for _ in range(4)] == [0, 1, 0, 1]


def test_a_module_without_a_policy_is_named_with_a_remedy():
    with pytest.raises(ValueError, match=r"expected an action for Discrete\(2\) from Linear.forward, got .*act\("):
        Policy(nn.Linear(3, 7), TWO)(np.zeros(3))
