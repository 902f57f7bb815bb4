"""What the real PuffeRL does with the bridge, as one JSON: ``python -m tests.adapters.puffer_runs FOLDER``."""

import json
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from puffer_callbacks import (
    Histogram,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    default_callbacks,
    log,
)
from puffer_callbacks.adapters import Loop, PuffeRLBridge
from tests.adapters.puffer import CONFIG, make_parts, make_trainer, pufferlib, run_script, train
from tests.support.models import random_rollout

KINDS: dict[str, dict[str, Any]] = {
    "lstm": {"use_rnn": True},
    "continuous": {"env_id": "Pendulum-v1", "total_timesteps": 4096},
    "pair": {"env_id": "pair"},
    "segments": {"batch_size": 512},
    "bfloat16": {"precision": "bfloat16"},
    "offload": {"cpu_offload": True},
}


class Spy(PufferCallback):
    """Keeps the rollouts, the norms of the gradients and why the run ended."""

    def __init__(self) -> None:
        self.rollouts: list[Any] = []
        self.norms: list[float] = []
        self.ended_by = ""

    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Any) -> None:
        # what the observations belong to is checked here: they are the trainer's own memory
        self.rollouts.append({name: value for name, value in vars(rollout).items() if name != "observations"})
        if rollout.observations.shape[2:] == (3,) and rollout.actions.ndim == 2:  # the pair, paid by what it sees
            paid = rollout.observations.gather(-1, rollout.actions.long()[..., None]).squeeze(-1)
            self.rollouts[-1]["right"] = torch.equal(paid, rollout.rewards)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.norms.append(torch.cat([p.grad.flatten() for p in pl_module.parameters()]).norm().item())

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.ended_by = repr(exception)


def plain(value: Any) -> Any:
    return "histogram" if isinstance(value, Histogram) else value if isinstance(value, float) else type(value).__name__


def series(logger: MemoryLogger) -> dict[str, Any]:
    return {tag: [(step, plain(value)) for step, value in logger.series(tag)] for tag in logger.tags}


def callbacks(**overrides: Any) -> list[Any]:
    return [Recorder(overhead_budget=1.0), *default_callbacks(**{"metrics": 1, "histograms": 8, **overrides})]


def cartpole(folder: Path) -> dict[str, Any]:
    """All default callbacks, as they come, into every kind of backend."""
    memory = MemoryLogger()
    loggers = [
        memory,
        TensorBoardLogger(folder, name="tb", version=""),
        WandbLogger(project="puffer", offline=True, save_dir=folder),
    ]
    bridge = PuffeRLBridge(loggers, callbacks())
    trainer = make_trainer(folder, logger=bridge)
    assert bridge.attach(trainer) is trainer
    assert bridge.attach(trainer) is trainer
    train(trainer)
    untouched = {name for name in ("evaluate", "train", "close") if name in vars(trainer)}
    settings = memory.series("hyperparameters")[0][1].settings
    return {
        "series": series(memory),
        "settings": settings,
        "left": sorted(untouched),
        "steps": trainer.global_step,
    }


def losses(folder: Path) -> dict[str, Any]:
    """Each update's losses, as the trainer shows them where it is made to log each update."""
    memory = MemoryLogger()
    trainer = PuffeRLBridge(memory, MetricsCallback(1)).attach(make_trainer(folder, total_timesteps=1024))
    shown = []
    while trainer.global_step < 1024:
        trainer.evaluate()
        trainer.last_log_time = 0
        trainer.train()
        shown.append((trainer.global_step, trainer.losses["value_loss"], trainer.losses["explained_variance"]))
    trainer.close()
    return {"shown": shown, "series": series(memory)}


def every_update(folder: Path) -> dict[str, Any]:
    """The same where it logs never before its end."""
    memory = MemoryLogger()
    trainer = PuffeRLBridge(memory, MetricsCallback(1)).attach(make_trainer(folder, total_timesteps=1024))
    while trainer.global_step < 1024:
        trainer.last_log_time = float("inf")
        trainer.evaluate()
        trainer.train()
    trainer.close()
    return {"series": series(memory)}


def same(folder: Path) -> dict[str, Any]:
    """Whether the weights are equal after training with the bridge and without, for every kind."""
    equal = {}
    for kind, arguments in KINDS.items():
        weights = []
        for with_bridge in (False, True):
            trainer = make_trainer(folder, **{**arguments, "total_timesteps": 1024})
            if with_bridge:
                PuffeRLBridge(MemoryLogger(), callbacks(histograms=1)).attach(trainer)
            train(trainer)
            weights.append([parameter.detach().clone() for parameter in trainer.policy.parameters()])
        equal[kind] = all(torch.equal(one, other) for one, other in zip(*weights, strict=True))
    return equal


def kinds(folder: Path) -> dict[str, Any]:
    """Recurrent policies, continuous actions, two agents, several segments of an agent, bfloat16."""
    results = {}
    for kind, arguments in KINDS.items():
        memory, spy = MemoryLogger(), Spy()
        trainer = make_trainer(folder, **arguments)
        PuffeRLBridge(memory, [*callbacks(), spy]).attach(trainer)
        train(trainer)
        first = spy.rollouts[0]
        results[kind] = {
            "series": series(memory),
            "shape": list(first["rewards"].shape),
            "actions": list(first["actions"].shape),
            "right": [rollout.get("right") for rollout in spy.rollouts],
            "norms": spy.norms,
            "infos": sorted(spy.rollouts[-1]["infos"]),
        }
    return results


def other_logger(folder: Path) -> dict[str, Any]:
    """A logger that was there before goes on as it was."""

    class Theirs:
        run_id = "theirs"
        steps: list[int] = []
        closed: list[str] = []

        def log(self, logs: Any, step: int) -> None:
            self.steps.append(step)

        def close(self, model_path: str) -> None:
            self.closed.append(model_path)

    theirs = Theirs()
    trainer = make_trainer(folder, logger=theirs, total_timesteps=512)
    bridge = PuffeRLBridge(MemoryLogger(), callbacks())
    bridge.attach(trainer)
    run_id = bridge.run_id
    train(trainer)
    bridge.close()
    return {
        "run_id": run_id,
        "steps": theirs.steps,
        "closed": theirs.closed,
        "back": trainer.logger is theirs,
    }


def by_name(folder: Path) -> dict[str, Any]:
    """``pufferl.train`` makes the trainer itself, so it is attached by its logger."""
    memory, spy = MemoryLogger(), Spy()
    vecenv, policy = make_parts()
    settings = {
        "wandb": False,
        "neptune": False,
        "train": {**CONFIG, "use_rnn": False, "data_dir": str(folder)},
    }
    settings["train"].pop("env")
    bridge = PuffeRLBridge(memory, [*callbacks(), spy])
    seconds = count(1)  # it logs four times a second, which here is at each update
    pufferlib.pufferl.time = SimpleNamespace(time=lambda: float(next(seconds)), sleep=time.sleep)
    try:
        pufferlib.pufferl.train("named", settings, vecenv, policy, bridge)
    finally:
        pufferlib.pufferl.time = time
    return {
        "series": series(memory),
        "checkpoints": sorted(path.name for path in folder.glob("*.pt")),
        "id": bridge.run_id,
    }


def exception(folder: Path) -> dict[str, Any]:
    """The environment breaks."""
    memory, spy = MemoryLogger(), Spy()
    bridge = PuffeRLBridge(memory, [*callbacks(), spy])
    trainer, stops = bridge.attach(make_trainer(folder)), [bridge.should_stop]
    for _ in range(2):
        trainer.evaluate()
        trainer.train()
    bridge.loop.should_stop = True  # as a callback does
    stops.append(bridge.should_stop)

    def broken() -> None:
        raise OSError("the simulator is gone")

    trainer.vecenv.recv = broken
    raised = ""
    try:
        trainer.evaluate()
    except OSError as error:
        raised = str(error)
    trainer.utilization.stop()
    bridge.attach(fresh := make_trainer(folder))
    stops.append(bridge.should_stop)
    fresh.close()
    outcome = {"raised": raised, "ended_by": spy.ended_by, "should_stop": stops}
    return {**outcome, "text": memory.text, "series": series(memory)}


def odd_numbers(folder: Path) -> dict[str, Any]:
    """What is not finite, under the filter that makes every RuntimeWarning an error."""
    memory, module = MemoryLogger(), torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    bad = torch.tensor([[float("nan"), float("inf")], [-float("inf"), 3e38]])
    with Loop(memory, [*callbacks(histograms=1)]) as loop:
        loop.fit_start(module)
        fields = dict.fromkeys(("rewards", "values", "returns", "advantages", "log_probs", "entropy"), bad)
        episodes = {
            "episode_returns": bad[0],
            "episode_lengths": bad[0],
            "infos": {"x": bad[0], "none": bad[:0, 0]},
        }
        loop.rollout_end(random_rollout(0, 0, steps=2, envs=2, **fields, **episodes))
        (module(torch.ones(2)).sum() * float("nan")).backward()
        optimizer.step()
        loop.step({"loss": torch.tensor(float("nan")), "big": 1e308})
        log(loop, {"mine": float("inf"), "histogram": Histogram.of(bad)})
        faults = dict(Recorder.of(loop).faults.counts)
    return {"series": series(memory), "faults": faults}


def main(folder: Path) -> None:
    runs = (cartpole, losses, every_update, same, kinds, other_logger, by_name, exception, odd_numbers)
    results = {}
    for run in runs:
        (folder / run.__name__).mkdir()
        results[run.__name__] = run(folder / run.__name__)
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    run_script(main)
