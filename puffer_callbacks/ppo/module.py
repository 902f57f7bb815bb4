"""PPO as a ``LightningModule``: one Lightning epoch is one rollout and the updates from it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from puffer_callbacks.callbacks.base import emit
from puffer_callbacks.ppo.collector import Collector
from puffer_callbacks.ppo.envs import legalizer, make_envs, resolve_env_id
from puffer_callbacks.ppo.experience import evaluate
from puffer_callbacks.ppo.hyperparameters import check_hyperparameters
from puffer_callbacks.ppo.loss import ppo_loss
from puffer_callbacks.ppo.minibatches import Minibatches
from puffer_callbacks.ppo.normalize import RewardScaler
from puffer_callbacks.ppo.policy import ActorCritic
from puffer_callbacks.rollout import Rollout

_LEARNED_FROM = ("observations", "actions", "log_probs", "values", "advantages", "returns")


class PPO(pl.LightningModule):
    """Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347).

    It follows Huang et al. 2022, "The 37 implementation details of proximal policy optimization". Every hyperparameter
    is an argument; ``num_rollouts`` is the number of epochs that ``total_timesteps`` makes, and training stops there
    by itself. A checkpoint carries the networks, the optimizer, the running normalizations and ``env_steps``. The
    environments' own state is not in it: a resumed run begins with new episodes, from seeds of its own.

    Args:
        env_id: Gymnasium environment, such as CartPole or CartPole-v1.
        total_timesteps: environment steps to train for, over all environments and ranks; never exceeded, unless one
            rollout alone does.
        num_envs: environments that step together, on each rank.
        num_steps: steps of each environment in a rollout.
        batch_size: steps in a minibatch.
        update_epochs: passes over a rollout.
        learning_rate: of Adam, at the start.
        anneal_lr: whether the learning rate goes down to 0 along a line.
        gamma: discount factor.
        gae_lambda: of generalized advantage estimation: 0 trusts the critic, 1 the returns.
        clip_coef: how far a probability ratio may move from 1 in one rollout's updates.
        clip_vloss: whether the critic's move is limited by clip_coef too.
        norm_adv: whether the advantages of a minibatch are normalized.
        ent_coef: weight of the entropy bonus.
        vf_coef: weight of the value loss.
        max_grad_norm: the gradient's largest Euclidean norm; none for no limit.
        target_kl: a rollout's updates end when the policy has moved further than this, in nats; none for no limit.
        hidden_sizes: units of the hidden layers of actor and critic.
        activation: tanh, relu, elu or gelu.
        log_std_init: initial log standard deviation of continuous actions.
        norm_obs: whether observations are normalized by their running mean and variance.
        norm_reward: whether rewards are scaled by the running standard deviation of their discounted sums.
        seed: of the weights, the environments, the actions and the order of the minibatches.

    Raises:
        TypeError: if a hyperparameter is of the wrong type.
        ValueError: if a hyperparameter is out of range, or the environment is unknown or cannot be made.

    Example:
        >>> ppo = PPO("CartPole", total_timesteps=2048)
        >>> ppo.num_rollouts
        2
        >>> ppo(torch.zeros(3, 4)).shape  # the best action for each observation
        torch.Size([3])
    """

    def __init__(
        self,
        env_id: str = "CartPole-v1",
        *,
        total_timesteps: int = 200_000,
        num_envs: int = 8,
        num_steps: int = 128,
        batch_size: int = 256,
        update_epochs: int = 4,
        learning_rate: float = 2.5e-4,
        anneal_lr: bool = True,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_coef: float = 0.2,
        clip_vloss: bool = False,
        norm_adv: bool = True,
        ent_coef: float = 0.01,
        vf_coef: float = 0.5,
        max_grad_norm: float | None = 0.5,
        target_kl: float | None = None,
        hidden_sizes: Sequence[int] = (64, 64),
        activation: str = "tanh",
        log_std_init: float = 0.0,
        norm_obs: bool = False,
        norm_reward: bool = False,
        seed: int = 1,
    ) -> None:
        super().__init__()
        check_hyperparameters(locals())
        env_id = resolve_env_id(env_id)
        self.save_hyperparameters()
        envs = make_envs(env_id, num_envs=1)
        self.action_space = envs.single_action_space
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = ActorCritic(
                envs.single_observation_space,
                envs.single_action_space,
                hidden_sizes=hidden_sizes,
                activation=activation,
                log_std_init=log_std_init,
                norm_obs=norm_obs,
            )
        envs.close()
        self.reward_scaler = RewardScaler(gamma=gamma, num_envs=num_envs) if norm_reward else None
        self.env_steps = 0
        self.rollout: Rollout | None = None
        self._collector: Collector | None = None
        self._order = torch.Generator()
        self._world_size = 1
        self._approx_kl = torch.zeros(())
        self._learning_rate = torch.tensor(float(learning_rate))
        self._loss = partial(
            ppo_loss,
            clip_coef=clip_coef,
            clip_vloss=clip_vloss,
            norm_adv=norm_adv,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
        )

    @property
    def steps_per_rollout(self) -> int:
        """Environment steps in one rollout, over all environments and ranks."""
        return int(self.hparams.num_envs * self.hparams.num_steps * self._world_size)

    @property
    def num_rollouts(self) -> int:
        """Rollouts, that is Lightning epochs, that fit into ``total_timesteps``; at least one."""
        return max(1, int(self.hparams.total_timesteps) // self.steps_per_rollout)

    def forward(self, observations: Tensor) -> Tensor:
        """The likeliest actions [B, *act] for the observations [B, *obs]."""
        return self.policy.distribution(observations).mode()

    @torch.no_grad()
    def act(self, observations: Any) -> Any:
        """The likeliest actions for a NumPy batch [B, *obs], as the environments take them."""
        actions = self(torch.as_tensor(np.asarray(observations), device=self.device))
        return legalizer(self.action_space)(actions.cpu().numpy())

    def configure_optimizers(self) -> Optimizer:
        """Adam with the epsilon of the original code (Huang et al. 2022, detail 3)."""
        fused = True if self.device.type == "cpu" else None  # a third of the time of the other ways on a CPU
        return Adam(self.policy.parameters(), lr=self.hparams.learning_rate, eps=1e-5, fused=fused)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip to ``max_grad_norm``, unless the trainer has a limit of its own."""
        limit = self.hparams.max_grad_norm if gradient_clip_val is None else gradient_clip_val
        self.clip_gradients(optimizer, limit, gradient_clip_algorithm or "norm")

    def train_dataloader(self) -> Minibatches:
        """The minibatches of each epoch's rollout."""
        return Minibatches(
            self._experience,
            size=self.hparams.num_envs * self.hparams.num_steps,
            batch_size=self.hparams.batch_size,
            epochs=self.hparams.update_epochs,
            generator=self._order,
            go_on=self._within_target_kl,
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The batch as it is: the rollout already lies on the device."""
        return batch

    def on_train_start(self) -> None:
        """Make the environments. Seeds depend on the rank, and on the progress lest a resumed run repeat itself."""
        self._world_size = self.trainer.world_size
        seeds = np.random.SeedSequence((self.hparams.seed, self.env_steps, self.global_rank)).generate_state(2)
        envs = make_envs(self.hparams.env_id, num_envs=self.hparams.num_envs)
        self._collector = Collector(envs, num_steps=self.hparams.num_steps, seed=int(seeds[0]))
        self._order.manual_seed(int(seeds[1]))
        self._stop_at_the_end()

    def on_train_epoch_start(self) -> None:
        """Set the learning rate, collect a rollout, and hand it to the callbacks."""
        self._set_learning_rate()
        self.rollout = self._collect()
        emit(self, "on_rollout_end", self.rollout)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """The loss and its parts, each 0-d, for a minibatch of the rollout."""
        distribution, values = self.policy(batch["observations"])
        metrics = self._loss(distribution.log_prob(batch["actions"]), distribution.entropy(), values, batch)
        self._approx_kl = metrics["approx_kl"]
        metrics["learning_rate"] = self._learning_rate
        return metrics

    def on_train_epoch_end(self) -> None:
        """Take the rollout into the observations' mean and variance, now that no update needs the old ones."""
        moments = self.policy.encode.moments
        if moments is not None and self.rollout is not None:
            moments.update(self.rollout.observations.flatten(0, 1), gather=self._gather)
        self.rollout = None
        self._stop_at_the_end()

    def on_train_end(self) -> None:
        """Close the environments."""
        if self._collector is not None:
            self._collector.envs.close()
        self._collector = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the count of environment steps."""
        checkpoint["env_steps"] = self.env_steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the count of environment steps."""
        self.env_steps = int(checkpoint["env_steps"])

    def _collect(self) -> Rollout:
        assert self._collector is not None  # made in on_train_start
        trajectories = self._collector.collect(self.policy, device=self.device)
        rewards = trajectories.rewards
        if self.reward_scaler is not None:
            rewards = self.reward_scaler.scale(rewards, trajectories.dones, gather=self._gather)
        self.env_steps += self.steps_per_rollout
        return evaluate(
            self.policy,
            trajectories,
            rewards=rewards,
            gamma=self.hparams.gamma,
            gae_lambda=self.hparams.gae_lambda,
            env_steps=self.env_steps,
            action_space=self.action_space,
        )

    def _experience(self) -> dict[str, Tensor]:
        """What is learned from, [T * N, ...]; a run resumed within an epoch has to collect it first."""
        if self.rollout is None:
            self.on_train_epoch_start()
        return {name: getattr(self.rollout, name).flatten(0, 1) for name in _LEARNED_FROM}

    def _set_learning_rate(self) -> None:
        """By environment steps, so that it holds over resumes and rollouts whose updates ended early."""
        optimizer = self.trainer.optimizers[0]
        if self.hparams.anneal_lr:
            progress = self.env_steps / (self.num_rollouts * self.steps_per_rollout)
            for group in optimizer.param_groups:
                group["lr"] = self.hparams.learning_rate * max(0.0, 1.0 - progress)
        self._learning_rate = torch.tensor(optimizer.param_groups[0]["lr"], device=self.device)

    def _within_target_kl(self) -> bool:
        if self.hparams.target_kl is None:
            return True
        approx_kl = self._gather(self._approx_kl).mean()  # the same answer on all ranks, or they would wait forever
        return bool(approx_kl <= self.hparams.target_kl)

    def _gather(self, values: Tensor) -> Tensor:
        """Every rank's copy, [R, ...]."""
        gathered: Tensor = self.all_gather(values)
        return gathered.reshape(self._world_size, *values.shape)

    def _stop_at_the_end(self) -> None:
        if self.env_steps + self.steps_per_rollout > self.hparams.total_timesteps and self.env_steps > 0:
            self.trainer.should_stop = True
