"""PPO with a mistake in it, and what is known of the mistake."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from puffer_callbacks.ppo import PPO
from puffer_callbacks.ppo.loss import ppo_loss
from tests.benchmarks.faults import wrappers

ENVS = ("CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCar-v0")


class Faulty(PPO):
    """PPO with a mistake that begins at a share of the run."""

    fault: "Fault"

    @property
    def broken(self) -> bool:
        return self.env_steps >= self.fault.begins * self.hparams["total_timesteps"]

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.fault.change is not None:
            starts_at = int(self.fault.begins * self.hparams["total_timesteps"])
            envs = wrappers.BrokenVectorEnv(self._collector.envs, self.fault.change(), starts_at=starts_at)
            self._collector.envs = envs

    def loss(self, distribution: Any, values: Tensor, batch: dict[str, Tensor], **changes: Any) -> dict[str, Tensor]:
        names = ("clip_coef", "clip_vloss", "norm_adv", "ent_coef", "vf_coef")
        options = {name: self.hparams[name] for name in names} | changes
        metrics = ppo_loss(distribution.log_prob(batch["actions"]), distribution.entropy(), values, batch, **options)
        self._approx_kl = metrics["approx_kl"]
        return {**metrics, "learning_rate": self._learning_rate}


@dataclass(frozen=True)
class Fault:
    """A bug that is injected.

    Args:
        name: of the fault.
        causes: keys of ``puffer_callbacks.health.causes.CAUSES`` that name it rightly.
        kind: the subclass that has it.
        change: makes what ``wrappers.BrokenVectorEnv`` changes.
        options: hyperparameters of the run; what is in ``hidden`` is what the doctor believes instead.
        begins: the share of the run at which it begins.
        envs: where it can be injected.
    """

    name: str
    causes: tuple[str, ...]
    kind: type[Faulty] = Faulty
    change: Callable[[], Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    begins: float = 0.0
    envs: tuple[str, ...] = ENVS
