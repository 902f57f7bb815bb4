"""The reference PPO as a ``LightningModule``."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from puffer_callbacks.ppo.actor_critic import ActorCritic
from puffer_callbacks.ppo.advantages import evaluate
from puffer_callbacks.ppo.collector import Trajectories
from puffer_callbacks.ppo.envs import action_clipper, make_envs, resolve_env_id
from puffer_callbacks.ppo.loss import ppo_loss
from puffer_callbacks.ppo.normalize import RewardScaler
from puffer_callbacks.ppo.on_policy import OnPolicyModule
from puffer_callbacks.ppo.presets import preset
from puffer_callbacks.ppo.validation import check_hyperparameters, check_memory
from puffer_callbacks.rollout import Rollout


class PPO(OnPolicyModule):
    """Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347).

    It follows Huang et al. 2022, "The 37 implementation details of proximal policy optimization". One
    Lightning epoch is one rollout and the updates from it; training stops by itself at ``total_timesteps``. A
    checkpoint carries the networks, the optimizer, the running normalizations and ``env_steps`` (see
    ``OnPolicyModule``). ``PPO.from_preset`` has hyperparameters that are known to learn an environment.

    Args:
        env_id: Gymnasium environment, such as CartPole or CartPole-v1.
        total_timesteps: environment steps to train for, over all environments and ranks: as many whole
            rollouts as fit, but at least one.
        num_envs: environments that step together, on each rank.
        num_steps: steps of each environment in a rollout.
        batch_size: steps in a minibatch.
        update_epochs: passes over a rollout.
        learning_rate: of Adam, at the start.
        anneal_lr: whether the learning rate falls to 0 in a line.
        gamma: discount factor.
        gae_lambda: of generalized advantage estimation; 0 trusts the critic, 1 the returns.
        clip_coef: how far a probability ratio may move from 1 in the updates from one rollout.
        clip_vloss: whether clip_coef limits the critic's move too, as in the original code.
        norm_adv: whether the advantages of each minibatch are normalized.
        ent_coef: weight of the entropy bonus.
        vf_coef: weight of the value loss.
        max_grad_norm: largest Euclidean norm of the gradient; none for no limit.
        target_kl: updates from a rollout end once the policy has moved this far, in nats; none for no limit.
        hidden_sizes: units of the hidden layers of actor and critic.
        activation: tanh, relu, silu, elu or gelu.
        log_std_init: initial log standard deviation of continuous actions.
        norm_obs: whether observations are normalized by their running mean and variance.
        norm_reward: whether rewards are scaled by the running standard deviation of their discounted sums.
        seed: of the weights, the environments, the actions and the order of the minibatches.

    Raises:
        TypeError: if a hyperparameter is of the wrong type.
        ValueError: if a hyperparameter is out of range, a rollout does not fit into memory, or the environment is
            unknown or cannot be made.

    Example:
        >>> ppo = PPO("CartPole", total_timesteps=2048)
        >>> ppo.num_rollouts  # Trainer(max_epochs=...)
        2
        >>> ppo(torch.zeros(3, 4)).shape  # the likeliest action for each observation
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
        check_hyperparameters(locals())
        super().__init__()
        env_id = resolve_env_id(env_id)  # so that a checkpoint names the version
        own = {name: value for name, value in locals().items() if name not in {"self", "__class__"}}
        self.save_hyperparameters()  # a subclass's too; of LightningCLI those of its configuration alone
        self.save_hyperparameters(own)
        self.policy = self._make_policy()
        self.reward_scaler = RewardScaler(gamma=gamma, num_envs=num_envs) if norm_reward else None
        self._loss = partial(
            ppo_loss,
            clip_coef=clip_coef,
            clip_vloss=clip_vloss,
            norm_adv=norm_adv,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
        )
        self._approx_kl = torch.zeros(())
        self._learning_rate = torch.tensor(float(learning_rate))

    @classmethod
    def from_preset(cls, env_id: str = "CartPole-v1", **hyperparameters: Any) -> Self:
        """PPO with the hyperparameters that are known to learn the environment, as the command line trains it.

        Args:
            env_id: Gymnasium environment; one without a preset has the defaults of ``PPO``.
            **hyperparameters: arguments of ``PPO`` that replace those of the preset.

        Example:
            >>> PPO.from_preset("CartPole", total_timesteps=40_000).hparams["learning_rate"]
            0.0025
        """
        return cls(env_id, **preset(resolve_env_id(env_id)) | hyperparameters)

    def _make_policy(self) -> ActorCritic:
        """Networks for the environment's spaces, by the seed alone: the global generator stays as it is."""
        envs = make_envs(self.hparams["env_id"], num_envs=1)
        self.action_space = envs.single_action_space
        names = ("hidden_sizes", "activation", "log_std_init", "norm_obs")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.hparams["seed"])
            policy = ActorCritic(
                envs.single_observation_space,
                envs.single_action_space,
                **{name: self.hparams[name] for name in names},
            )
        envs.close()
        spaces = [envs.single_observation_space, envs.single_action_space]
        check_memory(spaces, num_envs=self.hparams["num_envs"], num_steps=self.hparams["num_steps"])
        return policy

    def forward(self, observations: Tensor) -> Tensor:
        """The likeliest actions [B, *act] for the observations [B, *obs]."""
        return self.policy.distribution(observations).mode()

    @torch.no_grad()
    def act(self, observations: npt.ArrayLike) -> npt.NDArray[Any]:
        """The likeliest actions [B, *act] for a batch of observations, as vector environments take them."""
        actions = self(torch.as_tensor(np.asarray(observations), device=self.device))
        return action_clipper(self.action_space)(actions.cpu().numpy())

    def configure_optimizers(self) -> Optimizer:
        """Adam with the epsilon of the original code (Huang et al. 2022, detail 3)."""
        fused = True if self.device.type == "cpu" else None  # a third of the time of the others on a CPU
        return Adam(self.policy.parameters(), lr=self.hparams["learning_rate"], eps=1e-5, fused=fused)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip to ``max_grad_norm``, unless the trainer has a limit of its own."""
        limit = self.hparams["max_grad_norm"]
        if gradient_clip_val is not None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif limit is not None:
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), limit)

    def on_train_epoch_start(self) -> None:
        """Set the learning rate and collect a rollout.

        The rate follows the environment steps, so that it stays right after a resume or updates that ended early.
        """
        optimizer = self.trainer.optimizers[0]
        if self.hparams["anneal_lr"]:
            for group in optimizer.param_groups:
                group["lr"] = self.hparams["learning_rate"] * (1.0 - self.progress)
        self._learning_rate = torch.tensor(optimizer.param_groups[0]["lr"], device=self.device)
        super().on_train_epoch_start()

    def evaluate(self, trajectories: Trajectories) -> Rollout:
        """The rollout with the values and advantages of the present policy; ``norm_reward`` scales its rewards."""
        rewards = trajectories.rewards
        if self.reward_scaler is not None:
            rewards = self.reward_scaler.scale(rewards, trajectories.dones, gather=self.gather)
        return evaluate(
            self.policy,
            trajectories,
            rewards=rewards,
            gamma=self.hparams["gamma"],
            gae_lambda=self.hparams["gae_lambda"],
            env_steps=self.env_steps,
            action_space=self.action_space,
        )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """The loss of a minibatch, its parts and the learning rate, each 0-d."""
        distribution, values = self.policy(batch["observations"])
        metrics = self._loss(distribution.log_prob(batch["actions"]), distribution.entropy(), values, batch)
        self._approx_kl = metrics["approx_kl"]
        metrics["learning_rate"] = self._learning_rate
        return metrics

    def continue_epochs(self) -> bool:
        """Whether the policy is still within ``target_kl``; the mean over ranks, so that all of them stop together."""
        limit = self.hparams["target_kl"]
        return limit is None or bool(self.gather(self._approx_kl).mean() <= limit)
