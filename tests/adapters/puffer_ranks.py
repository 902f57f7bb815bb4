"""Two processes train one policy: ``torchrun --nproc-per-node 2 -m tests.adapters.puffer_ranks FOLDER``."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from puffer_callbacks import MemoryLogger, default_callbacks
from puffer_callbacks.adapters import PuffeRLBridge
from tests.adapters.puffer import make_trainer, run_script
from tests.adapters.puffer_runs import Spy, series


def in_parallel(policy: Any) -> Any:
    """As ``pufferl.train`` wraps it."""
    model = torch.nn.parallel.DistributedDataParallel(policy)
    model.hidden_size = policy.hidden_size
    model.forward_eval = policy.forward_eval
    return model


def main(folder: Path) -> None:
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    memory, spy = MemoryLogger(), Spy()
    trainer = make_trainer(folder, wrap=in_parallel, seed=rank, total_timesteps=2048)
    bridge = PuffeRLBridge(memory, [*default_callbacks(metrics=1, histograms=8), spy])
    bridge.attach(trainer)
    while trainer.global_step < 2048:
        trainer.last_log_time = float("inf")  # the clocks of two ranks differ, and so would their collectives
        trainer.evaluate()
        trainer.train()
    bridge.close()
    returns = [
        rollout["episode_returns"].tolist() for rollout in spy.rollouts if rollout["episode_returns"] is not None
    ]
    result = {
        "series": series(memory),
        "returns": returns,
        "env_steps": [r["env_steps"] for r in spy.rollouts],
    }
    (folder / f"rank{rank}.json").write_text(json.dumps(result))
    trainer.utilization.stop()
    trainer.vecenv.close()
    distributed.destroy_process_group()


if __name__ == "__main__":
    run_script(main)
