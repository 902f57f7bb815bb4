"""README's recipe for TorchRL's Trainer, as it stands there. Skipped where TorchRL is not installed."""

import pytest
import torch
from torch import nn

from tests.support.reading import histogram_groups, tensorboard_scalars
from tests.support.readme import recipe

pytest.importorskip("torchrl")
pytestmark = pytest.mark.filterwarnings("ignore")  # TorchRL's own, many

FRAMES, TOTAL = 64, 256


def make():
    from tensordict.nn import TensorDictModule
    from torchrl.collectors import Collector
    from torchrl.envs import GymEnv
    from torchrl.modules import OneHotCategorical, ProbabilisticActor, ValueOperator
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE
    from torchrl.trainers import Trainer

    torch.manual_seed(1)
    env = GymEnv("CartPole-v1", device="cpu")
    env.set_seed(1)
    network = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    actor = ProbabilisticActor(
        TensorDictModule(network, in_keys=["observation"], out_keys=["logits"]),
        in_keys=["logits"],
        distribution_class=OneHotCategorical,
        return_log_prob=True,
    )
    critic = ValueOperator(nn.Linear(4, 1), in_keys=["observation"])
    loss = ClipPPOLoss(actor, critic)
    trainer = Trainer(
        collector=Collector(env, actor, frames_per_batch=FRAMES, total_frames=TOTAL),
        total_frames=TOTAL,
        frame_skip=1,
        optim_steps_per_batch=3,
        loss_module=loss,
        optimizer=torch.optim.Adam(loss.parameters(), lr=1e-2),
        progress_bar=False,
    )
    trainer.register_op("batch_process", GAE(gamma=0.99, lmbda=0.95, value_network=critic))
    return trainer


def test_the_recipe_leaves_training_as_it_is_and_logs_what_happened(tmp_path, monkeypatch):
    from torchrl.trainers import DefaultOptimizationStepper

    monkeypatch.chdir(tmp_path)
    plain, batches = make(), []
    plain.optimization_stepper = DefaultOptimizationStepper()
    plain.register_op("pre_steps_log", lambda batch: batches.append(batch.clone()))
    plain.train()

    names = {"trainer": make(), "config": {"gamma": 0.99}}
    exec(recipe("torchrl"), names)
    for one, other in zip(plain.loss_module.parameters(), names["trainer"].loss_module.parameters(), strict=True):
        assert torch.equal(one, other)

    scalars = tensorboard_scalars(tmp_path / "runs" / "version_0")
    assert scalars["train/reward"] == [(step, pytest.approx(mean)) for step, mean in mean_returns(batches)]
    assert [step for step, _ in scalars["rollout/return_mean"]][-1] == TOTAL
    assert {"train/policy_loss", "train/value_loss", "train/learning_rate"} <= scalars.keys()
    assert histogram_groups(tmp_path / "runs" / "version_0") == {"weights", "gradients", "rollout"}
    assert scalars["time/optimizer_steps"][-1] == (TOTAL, 3.0 * TOTAL / FRAMES)


def mean_returns(batches):
    """The mean return of each batch's finished episodes, by frames, counted one by one."""
    running = 0.0
    for number, batch in enumerate(batches, 1):
        finished = []
        for reward, done in zip(batch["next", "reward"].flatten(), batch["next", "done"].flatten(), strict=True):
            running += reward.item()
            if done:
                finished.append(running)
                running = 0.0
        if finished:
            yield number * FRAMES, sum(finished) / len(finished)
