"""What must hold for every callback in every trainer, without a test framework: PuffeRL needs its own process."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

import puffer_callbacks
from puffer_callbacks import MemoryLogger, PufferCallback, Recorder, default_callbacks, emit
from puffer_callbacks.adapters import Loop
from tests.support.models import random_rollout

UPDATES = 6


class Network(nn.Module):
    """An actor for CartPole with an attention layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, observations: Tensor) -> Tensor:
        tokens = self.embed(observations[..., None])
        return self.head(self.attention(tokens, tokens, tokens)[0].mean(-2))


class Boom(Exception):
    """The error in the middle of a run."""


class Bomb(PufferCallback):
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        if Recorder.of(trainer).counters.optimizer_steps % UPDATES == UPDATES // 2:
            raise Boom


def rollout_of(at: int) -> Any:
    return random_rollout(at, at * 16)


class HandWritten:
    """A loop of one's own."""

    def fit(self, loggers: Any, callbacks: list[Any], *, rollouts: bool = True) -> None:
        network = Network()
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        loop = self.loop(loggers, callbacks)
        with loop:
            loop.fit_start(network, {"gamma": 0.9, "env_id": "CartPole-v1"})
            for at in range(UPDATES):
                if rollouts:
                    self.rollout_end(loop, rollout_of(at))
                optimizer.zero_grad()
                loss = network(torch.ones(5, 4)).square().sum()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 0.1)
                optimizer.step()
                loop.step({"loss": loss, "policy_loss": 0.5}, batch=torch.ones(5, 4))
        loop.close()
        loop.close()

    def loop(self, loggers: Any, callbacks: list[Any]) -> Any:
        return Loop(loggers, callbacks)

    def rollout_end(self, loop: Any, rollout: Any) -> None:
        loop.rollout_end(rollout)


class Fabric(HandWritten):
    def loop(self, loggers: Any, callbacks: list[Any]) -> Any:
        package = importlib.import_module("lightning.fabric")
        self.fabric = package.Fabric(accelerator="cpu", devices=1, callbacks=callbacks, loggers=loggers)
        return Loop.from_fabric(self.fabric)

    def rollout_end(self, loop: Any, rollout: Any) -> None:
        self.fabric.call("on_rollout_end", rollout)


class Lightning:
    """Either namespace's ``Trainer``."""

    def __init__(self, namespace: str) -> None:
        self.pl = importlib.import_module(namespace)

    def fit(self, loggers: Any, callbacks: list[Any], *, rollouts: bool = True) -> None:
        class Module(self.pl.LightningModule, Network):  # type: ignore[name-defined, misc]
            env_steps = 0

            def __init__(self) -> None:
                super().__init__()
                self.save_hyperparameters({"gamma": 0.9, "env_id": "CartPole-v1"})

            def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Any]:
                if rollouts:
                    rollout = rollout_of(batch_idx)
                    self.env_steps = rollout.env_steps
                    emit(self, "on_rollout_end", rollout)
                return {"loss": self(batch).square().sum(), "policy_loss": torch.tensor(0.5)}

            def configure_optimizers(self) -> Any:
                return torch.optim.Adam(self.parameters(), lr=0.01)

            def train_dataloader(self) -> Any:
                return torch.utils.data.DataLoader(torch.ones(5 * UPDATES, 4), batch_size=5)

        trainer = self.pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=loggers or False,
            callbacks=callbacks,
            gradient_clip_val=0.1,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            log_every_n_steps=1,
        )
        module = Module()
        trainer.fit(module)
        for callback in trainer.callbacks:
            callback.teardown(trainer, module, "fit")


class SB3:
    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm

    def fit(self, loggers: Any, callbacks: list[Any], *, rollouts: bool = True) -> None:
        import stable_baselines3
        from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

        from puffer_callbacks.adapters import SB3Bridge

        class Extractor(BaseFeaturesExtractor):
            def __init__(self, observation_space: Any) -> None:
                super().__init__(observation_space, features_dim=2)
                self.network = Network()

            def forward(self, observations: Tensor) -> Tensor:
                return self.network(observations)

        kind = getattr(stable_baselines3, self.algorithm)
        fewer = {"n_steps": 16, "batch_size": 16, "n_epochs": 1} if self.algorithm == "PPO" else {"learning_starts": 8}
        policy = {"net_arch": [8], "features_extractor_class": Extractor}
        model = kind("MlpPolicy", "CartPole-v1", policy_kwargs=policy, device="cpu", seed=0, **fewer)
        with SB3Bridge(loggers, callbacks, rollout_steps=8) as bridge:
            model.learn(UPDATES * 16 if self.algorithm == "PPO" else 8 + UPDATES * 4, callback=bridge)
        bridge.close()
        bridge.close()


class Transformers:
    """``transformers.Trainer``, which has no rollouts."""

    def fit(self, loggers: Any, callbacks: list[Any], *, rollouts: bool = True) -> None:
        import tempfile

        from puffer_callbacks.adapters import TransformersCallback
        from tests.adapters.gpt import make_trainer

        with tempfile.TemporaryDirectory() as folder, TransformersCallback(loggers, callbacks) as callback:
            make_trainer(folder, [callback], max_steps=UPDATES, logging_steps=1).train()


class RslRl:
    """``OnPolicyRunner``: two updates a rollout."""

    def fit(self, loggers: Any, callbacks: list[Any], *, rollouts: bool = True) -> None:
        from puffer_callbacks.adapters import RslRlBridge
        from tests.adapters.rsl_rl.arithmetic import make_runner

        bridge = RslRlBridge(loggers, callbacks)
        bridge.attach(make_runner(num_learning_epochs=1, num_mini_batches=2)).learn(UPDATES // 2)
        bridge.detach()
        bridge.detach()


class PuffeRL:
    def __init__(self, folder: Any) -> None:
        self.folder = folder

    def fit(self, loggers: Any, callbacks: list[Any], *, rollouts: bool = True) -> None:
        from puffer_callbacks.adapters import PuffeRLBridge
        from tests.adapters.puffer import make_trainer, train

        bridge = PuffeRLBridge(loggers, callbacks)

        def attentive(policy: Any) -> Any:
            policy.encoder = nn.Sequential(Network(), nn.Linear(2, 32))
            return policy

        trainer = make_trainer(self.folder, wrap=attentive, env="CartPole-v1", total_timesteps=UPDATES * 64)
        try:
            train(bridge.attach(trainer))
        finally:
            trainer.utilization.stop()
        bridge.close()
        bridge.close()


def kinds() -> dict[str, Callable[[], list[Any]]]:
    """Every public callback by itself, and all of them together."""
    exported = (getattr(puffer_callbacks, name) for name in puffer_callbacks.__all__)
    classes = [kind for kind in exported if isinstance(kind, type) and issubclass(kind, PufferCallback)]
    classes.remove(PufferCallback)
    single = {kind.__name__: lambda kind=kind: [build(kind)] for kind in classes}
    return {
        **single,
        "default_callbacks": default_callbacks,
        "all": lambda: [build(kind) for kind in classes],
    }


def build(kind: type) -> Any:
    """One that fires at each step and each rollout, where it has an interval."""
    named = kind.__init__.__code__.co_varnames  # type: ignore[misc]
    return kind(**{name: 1 for name in ("every_n_steps", "every_n_rollouts") if name in named})


def fit_twice(trainer: Any, callbacks: Callable[[], list[Any]]) -> None:
    same, first, second = [*callbacks(), strict()], MemoryLogger(), MemoryLogger()
    trainer.fit([first], same)
    trainer.fit([second], same)
    assert set(second.tags) == set(first.tags), set(second.tags) ^ set(first.tags)


def no_logger(trainer: Any, callbacks: Callable[[], list[Any]]) -> None:
    trainer.fit([], [*callbacks(), strict()])


def two_loggers(trainer: Any, callbacks: Callable[[], list[Any]]) -> None:
    loggers = [MemoryLogger(), MemoryLogger()]
    trainer.fit(loggers, [*callbacks(), strict()])
    assert loggers[0].tags == loggers[1].tags
    assert loggers[0].tags
    for tag in loggers[0].tags:
        steps = [step for step, _ in loggers[0].series(tag)]
        assert tag == "hyperparameters" or steps == sorted(set(steps)), f"{tag}: {steps}"


def no_rollout(trainer: Any, callbacks: Callable[[], list[Any]]) -> None:
    trainer.fit([MemoryLogger()], [*callbacks(), strict()], rollouts=False)


def exception(trainer: Any, callbacks: Callable[[], list[Any]]) -> None:
    logger, same = MemoryLogger(), callbacks()
    try:
        trainer.fit([logger], [*same, strict(), Bomb()])
    except Boom:
        pass
    else:
        raise AssertionError("expected the exception to go on")
    assert "Boom" in logger.text
    trainer.fit([MemoryLogger()], [*same, strict()])


def strict() -> Recorder:
    """A recorder that raises what it would otherwise warn about, and never thins out."""
    return Recorder(strict=True, overhead_budget=1.0)


SCENARIOS = (fit_twice, no_logger, two_loggers, no_rollout, exception)
ALONE = (fit_twice, no_rollout)


def cases() -> Iterator[tuple[str, Callable[[], list[Any]], Callable[..., None]]]:
    """Callback by scenario; together they meet every one, alone those in which they may need each other."""
    for name, callbacks in kinds().items():
        for scenario in SCENARIOS if name in ("default_callbacks", "all") else ALONE:
            yield name, callbacks, scenario
