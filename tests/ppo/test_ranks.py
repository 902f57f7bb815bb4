import json
import os
import subprocess
import sys
from pathlib import Path

RUN = """
import json, sys
import lightning.pytorch as pl
import torch
from puffer_callbacks.ppo import PPO

torch.set_num_threads(1)


class Watch(pl.Callback):
    # records what one rank sees

    def __init__(self, folder):
        self.folder, self.rollouts, self.updates = folder, [], 0

    def on_rollout_end(self, trainer, pl_module, rollout):
        self.rollouts.append((rollout.env_steps, rollout.observations.double().sum().item()))

    def on_train_batch_end(self, *_):
        self.updates += 1

    def on_train_end(self, trainer, pl_module):
        report = {
            "rollouts": self.rollouts,
            "updates": self.updates,
            "env_steps": pl_module.env_steps,
            "state": {name: value.double().sum().item() for name, value in pl_module.state_dict().items()},
        }
        with open(f"{self.folder}/{trainer.global_rank}.json", "w") as file:
            json.dump(report, file)


folder, arguments = sys.argv[1], json.loads(sys.argv[2])
pl.Trainer(
    accelerator="cpu", devices=2, strategy="ddp_fork", max_epochs=-1, logger=False, callbacks=[Watch(folder)],
    enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
).fit(PPO("Pendulum", **arguments))
"""
SMALL = {"num_envs": 2, "num_steps": 32, "batch_size": 16, "update_epochs": 2, "total_timesteps": 400}


ROOT = Path(__file__).parents[2]


def two_ranks(folder: Path, **arguments):
    script = folder / "run.py"
    script.write_text(RUN)
    command = [sys.executable, str(script), str(folder), json.dumps({**SMALL, **arguments})]
    subprocess.run(command, check=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_ranks_have_different_episodes_learn_the_same_and_end_together(tmp_path):
    first, second = two_ranks(tmp_path, norm_obs=True, norm_reward=True, target_kl=1e-12)
    assert first["env_steps"] == second["env_steps"] == 384  # three rollouts of 2 x 2 x 32 steps
    assert [steps for steps, _ in first["rollouts"]] == [128, 256, 384]
    assert all(a[1] != b[1] for a, b in zip(first["rollouts"], second["rollouts"], strict=True))
    assert first["updates"] == second["updates"] == 12  # one pass a rollout: the policy has moved too far
    assert first["state"] == second["state"]
