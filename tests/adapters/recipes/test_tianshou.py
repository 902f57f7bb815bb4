"""README's recipe for tianshou, as it stands there, in the real PPO. Skipped where tianshou is not installed."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.support.reading import histogram_groups, tensorboard_scalars
from tests.support.readme import recipe

pytest.importorskip("tianshou")
pytestmark = pytest.mark.filterwarnings("ignore")  # tianshou's own, many

ENVS, STEPS, TOTAL = 2, 64, 512


def make(kind):
    from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv
    from tianshou.trainer import OnPolicyTrainerParams
    from tianshou.utils.net.common import Net
    from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic

    np.random.seed(1)
    torch.manual_seed(1)
    envs = DummyVectorEnv([lambda: gym.make("CartPole-v1")] * ENVS)
    envs.seed(1)
    single = gym.make("CartPole-v1")
    single.action_space.seed(1)
    actor = DiscreteActor(preprocess_net=Net(state_shape=4, hidden_sizes=[16]), action_shape=2, softmax_output=False)
    critic = DiscreteCritic(preprocess_net=Net(state_shape=4, hidden_sizes=[16]))
    policy = DiscreteActorPolicy(actor=actor, action_space=single.action_space)
    algorithm = kind(policy=policy, critic=critic, optim=AdamOptimizerFactory(lr=1e-2))
    parameters = OnPolicyTrainerParams(
        training_collector=Collector(algorithm, envs, VectorReplayBuffer(ENVS * STEPS, ENVS)),
        max_epochs=1,
        epoch_num_steps=TOTAL,
        collection_step_num_env_steps=ENVS * STEPS,
        batch_size=32,
        update_step_num_repetitions=2,
        test_in_training=False,
        show_progress=False,
    )
    return algorithm, parameters


def test_the_recipe_leaves_training_as_it_is_and_logs_what_happened(tmp_path, monkeypatch):
    from tianshou.algorithm import PPO

    monkeypatch.chdir(tmp_path)
    collected = []

    class Watched(PPO):
        def update(self, buffer, **how):
            collected.append((buffer.rew.copy(), buffer.done.copy()))
            return super().update(buffer, **how)

    plain, parameters = make(Watched)
    plain.run_training(parameters)

    classes, _, run = recipe("tianshou").rpartition("with Loop")
    names = {}
    exec(classes, names)
    names["algorithm"], names["parameters"] = make(names["RecordedPPO"])
    exec("with Loop" + run, names)
    for one, other in zip(plain.parameters(), names["algorithm"].parameters(), strict=True):
        assert torch.equal(one, other)

    scalars = tensorboard_scalars(tmp_path / "runs" / "version_0")
    assert scalars["train/reward"] == [(step, pytest.approx(mean)) for step, mean in mean_returns(collected)]
    assert [step for step, _ in scalars["rollout/return_mean"]][-1] == TOTAL
    assert {"train/actor_loss", "train/vf_loss", "train/learning_rate"} <= scalars.keys()
    assert histogram_groups(tmp_path / "runs" / "version_0") == {"weights", "gradients", "rollout"}


def mean_returns(collected):
    """The mean return of each rollout's finished episodes, by environment steps, counted one by one."""
    running = [0.0] * ENVS
    for number, (rewards, dones) in enumerate(collected, 1):
        finished = []
        for env in range(ENVS):
            for at in range(env * STEPS, (env + 1) * STEPS):
                running[env] += float(rewards[at])
                if dones[at]:
                    finished.append(running[env])
                    running[env] = 0.0
        if finished:
            yield number * ENVS * STEPS, sum(finished) / len(finished)
