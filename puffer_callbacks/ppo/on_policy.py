"""Rollouts as Lightning epochs, the base of on-policy algorithms."""

from abc import abstractmethod
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.callbacks.module_api import emit
from puffer_callbacks.distributed import gather_alike
from puffer_callbacks.ppo.actor_critic import ActorCritic
from puffer_callbacks.ppo.collector import Collector, Trajectories
from puffer_callbacks.ppo.envs import make_envs
from puffer_callbacks.ppo.minibatches import Minibatches
from puffer_callbacks.rollout import Rollout

_BATCH_FIELDS = ("observations", "actions", "log_probs", "values", "advantages", "returns")


class OnPolicyModule(pl.LightningModule):
    """A module whose every epoch collects a rollout and learns from it in shuffled minibatches.

    ``env_steps`` counts the environment steps so far, over all ranks; a checkpoint carries it. The
    environments' own state is not in the checkpoint: a resumed run begins with a new rollout of new episodes,
    also where the checkpoint was saved within an epoch.

    A subclass saves its hyperparameters (``env_id``, ``num_envs``, ``num_steps``, ``batch_size``,
    ``update_epochs``, ``total_timesteps``, ``seed`` among them), sets ``policy`` and writes ``evaluate``.
    """

    policy: ActorCritic

    def __init__(self) -> None:
        super().__init__()
        self.env_steps = 0
        self.rollout: Rollout | None = None
        self._collector: Collector | None = None
        self._order = torch.Generator()
        self._world_size = 1

    @abstractmethod
    def evaluate(self, trajectories: Trajectories) -> Rollout:
        """The rollout of the trajectories, with values, advantages and returns."""

    def continue_epochs(self) -> bool:
        """Whether to make another pass over the rollout; called between two passes."""
        return True

    @property
    def steps_per_rollout(self) -> int:
        """Environment steps in one rollout, over all environments and ranks."""
        return int(self.hparams["num_envs"] * self.hparams["num_steps"] * self._world_size)

    @property
    def num_rollouts(self) -> int:
        """Rollouts, that is Lightning epochs, that fit into ``total_timesteps``; at least one."""
        return max(1, int(self.hparams["total_timesteps"]) // self.steps_per_rollout)

    @property
    def planned_steps(self) -> int:
        """Environment steps at which training ends."""
        return self.num_rollouts * self.steps_per_rollout

    @property
    def progress(self) -> float:
        """The share of the training that is done, from 0 to 1."""
        return min(1.0, self.env_steps / self.planned_steps)

    @property
    def is_complete(self) -> bool:
        """Whether no further rollout fits into ``total_timesteps``."""
        return self.env_steps > 0 and self.env_steps + self.steps_per_rollout > self.hparams["total_timesteps"]

    def train_dataloader(self) -> Minibatches:
        """The minibatches of each epoch's rollout."""
        return Minibatches(
            self._batch_tensors,
            size=self.hparams["num_envs"] * self.hparams["num_steps"],
            batch_size=self.hparams["batch_size"],
            epochs=self.hparams["update_epochs"],
            generator=self._order,
            continue_epochs=self.continue_epochs,
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The batch as it is: the rollout is already on the device."""
        return batch

    def on_train_start(self) -> None:
        """Make the environments; seeds differ by rank, and by progress so that a resumed run has new episodes."""
        self._world_size = self.trainer.world_size
        entropy = (self.hparams["seed"], self.env_steps, self.global_rank)
        env_seed, order_seed = np.random.SeedSequence(entropy).generate_state(2).tolist()
        envs = make_envs(self.hparams["env_id"], num_envs=self.hparams["num_envs"])
        self._collector = Collector(envs, num_steps=self.hparams["num_steps"], seed=env_seed)
        self._order.manual_seed(order_seed)
        self._stop_if_complete()

    def on_train_epoch_start(self) -> None:
        """Collect a rollout and hand it to the callbacks."""
        assert self._collector is not None  # made in on_train_start
        trajectories = self._collector.collect(self.policy, device=self.device)
        self.env_steps += self.steps_per_rollout
        self.rollout = self.evaluate(trajectories)
        emit(self, "on_rollout_end", self.rollout)

    def on_train_epoch_end(self) -> None:
        """Update the observations' mean and variance, now that no update needs the old ones."""
        moments = self.policy.encode.moments
        if moments is not None and self.rollout is not None:
            moments.update(self.rollout.observations.flatten(0, 1), gather=self.gather)
        self.rollout = None
        self._stop_if_complete()

    def on_train_end(self) -> None:
        """Close the environments."""
        if self._collector is not None:
            self._collector.envs.close()
        self._collector = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the count of environment steps."""
        checkpoint["env_steps"] = self.env_steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the count of environment steps."""
        self.env_steps = int(checkpoint["env_steps"])

    def gather(self, values: Tensor) -> Tensor:
        """Every rank's copy, [R, *values.shape]."""
        if self._world_size == 1:
            return values.unsqueeze(0)
        return torch.stack(gather_alike(values))

    def _batch_tensors(self) -> dict[str, Tensor]:
        """The rollout's tensors, each [T * N, ...]; a run resumed within an epoch collects it here."""
        if self.rollout is None:
            self.on_train_epoch_start()
        return {name: getattr(self.rollout, name).flatten(0, 1) for name in _BATCH_FIELDS}

    def _stop_if_complete(self) -> None:
        if self.is_complete:
            self.trainer.should_stop = True
