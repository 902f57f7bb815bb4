"""README's recipe for skrl, as it stands there, in the real PPO."""

import gymnasium as gym
import pytest
import torch
from torch import nn

from tests.support.reading import histogram_groups, tensorboard_scalars
from tests.support.readme import recipe

pytest.importorskip("skrl")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

ENVS, STEPS, TOTAL = 4, 32, 128


def network(outputs):
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, outputs))


def make(kind):
    from skrl.envs.wrappers.torch import wrap_env
    from skrl.memories.torch import RandomMemory
    from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model
    from skrl.trainers.torch import SequentialTrainer
    from skrl.utils import set_seed

    class Policy(CategoricalMixin, Model):
        def __init__(self, **spaces):
            Model.__init__(self, **spaces)
            CategoricalMixin.__init__(self)
            self.net = network(2)

        def compute(self, inputs, role):
            return self.net(inputs["observations"]), {}

    class Value(DeterministicMixin, Model):
        def __init__(self, **spaces):
            Model.__init__(self, **spaces)
            DeterministicMixin.__init__(self)
            self.net = network(1)

        def compute(self, inputs, role):
            return self.net(inputs["observations"]), {}

    set_seed(1)
    env = wrap_env(gym.make_vec("CartPole-v1", num_envs=ENVS, vectorization_mode="sync"))
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space, "device": "cpu"}
    agent = kind(
        models={"policy": Policy(**spaces), "value": Value(**spaces)},
        memory=RandomMemory(memory_size=STEPS, num_envs=ENVS, device="cpu"),
        cfg={
            "rollouts": STEPS,
            "learning_epochs": 2,
            "mini_batches": 2,
            "experiment": {"write_interval": 0, "checkpoint_interval": 0},
        },
        **spaces,
    )
    trainer = SequentialTrainer(
        env=env, agents=agent, cfg={"timesteps": TOTAL, "disable_progressbar": True, "close_environment_at_exit": False}
    )
    return agent, trainer


def test_the_recipe_leaves_training_as_it_is_and_logs_what_happened(tmp_path, monkeypatch):
    from skrl.agents.torch.ppo import PPO

    monkeypatch.chdir(tmp_path)
    plain, trainer = make(PPO)
    steps, record = [], plain.record_transition

    def seen(**step):
        steps.append((step["rewards"].clone(), step["terminated"] | step["truncated"]))
        record(**step)

    plain.record_transition = seen
    trainer.train()

    classes, _, run = recipe("skrl").rpartition("with Loop")
    names = {}
    exec(classes, names)
    names["agent"], names["trainer"] = make(names["RecordedPPO"])
    exec("with Loop" + run, names)
    for name, model in plain.models.items():
        for one, other in zip(model.parameters(), names["agent"].models[name].parameters(), strict=True):
            assert torch.equal(one, other)

    scalars = tensorboard_scalars(tmp_path / "runs" / "version_0")
    assert scalars["train/reward"] == [(step, pytest.approx(mean)) for step, mean in mean_returns(steps)]
    assert [step for step, _ in scalars["rollout/return_mean"]][-1] == ENVS * TOTAL
    assert {"train/policy_loss", "train/value_loss", "train/learning_rate"} <= scalars.keys()
    assert histogram_groups(tmp_path / "runs" / "version_0") == {"weights", "gradients", "rollout"}
    assert scalars["time/optimizer_steps"][-1] == (ENVS * TOTAL, 4.0 * TOTAL / STEPS)


def mean_returns(steps):
    """The mean return of each rollout's finished episodes, by environment steps, counted one by one."""
    running, finished = [0.0] * ENVS, []
    for at, (rewards, dones) in enumerate(steps, 1):
        for env in range(ENVS):
            running[env] += rewards[env].item()
            if dones[env]:
                finished.append(running[env])
                running[env] = 0.0
        if at % STEPS == 0 and finished:
            yield at * ENVS, sum(finished) / len(finished)
            finished = []
