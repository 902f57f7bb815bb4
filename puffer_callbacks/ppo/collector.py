"""Collection of trajectories: steps the environments with the policy and stores every transition."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from puffer_callbacks.measure.episode_counter import EpisodeCounter
from puffer_callbacks.ppo.actor_critic import ActorCritic
from puffer_callbacks.ppo.envs import action_clipper
from puffer_callbacks.ppo.info_tracker import InfoTracker
from puffer_callbacks.rollout import Rollout

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """T steps of N environments, in which E episodes ended, C of them truncated by a time limit.

    Fields per step are on the policy's device, fields per episode on the CPU.

    Args:
        observations: [T + 1, N, *obs]; the last is the first of the next rollout.
        actions: [T, N, *act], as the policy chose them.
        rewards: [T, N] float32.
        dones: [T, N].
        truncated: ([C], [C]), the steps and environments of the truncated episodes.
        final_observations: [C, *obs], the last observations of those; ``None`` where there are none.
        episode_returns: [E] float64.
        episode_lengths: [E] int64.
        infos: numbers of the finished episodes.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    dones: Tensor
    truncated: tuple[Tensor, Tensor]
    final_observations: Tensor | None
    episode_returns: Tensor
    episode_lengths: Tensor
    infos: dict[str, Tensor]


class _Buffers:
    """One rollout while it is collected, in host memory; new ones each time, as callbacks may keep the last."""

    def __init__(self, num_steps: int, observation: Array) -> None:
        dtype = np.float32 if observation.dtype == np.float64 else observation.dtype
        shape = (num_steps, len(observation))
        self.observations = np.empty((num_steps + 1, *observation.shape), dtype)
        self.rewards, self.dones = np.empty(shape, np.float32), np.empty(shape, np.bool_)
        self.actions: list[Tensor] = []
        self.truncated: list[tuple[int, int, Array]] = []


class Collector:
    """Runs a policy in vectorized environments, one rollout after the other.

    Args:
        envs: environments that reset in the step that ends an episode (``make_envs``).
        num_steps: T, steps of each environment in a rollout.
        seed: of the environments and of the sampled actions.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], *, num_steps: int, seed: int) -> None:
        self.envs, self.num_steps = envs, num_steps
        self._clip = action_clipper(envs.single_action_space)
        self._generator = torch.Generator().manual_seed(seed)
        self._observation: Array = np.asarray(envs.reset(seed=seed)[0])
        self._episodes = EpisodeCounter()
        self._infos = InfoTracker(envs.num_envs)

    @torch.no_grad()
    def collect(self, policy: ActorCritic, *, device: torch.device) -> Trajectories:
        """Collect one rollout with a policy on ``device``."""
        buffers = _Buffers(self.num_steps, self._observation)
        observations = torch.from_numpy(buffers.observations)
        noises = policy.noise(self.num_steps, self.envs.num_envs, generator=self._generator).to(device)
        for t, (observation, noise) in enumerate(zip(observations[:-1], noises, strict=True)):
            buffers.observations[t] = self._observation
            action = policy.distribution(observation.to(device)).sample(noise).cpu()
            buffers.actions.append(action)
            self._step(t, action, buffers)
        buffers.observations[-1] = self._observation
        return self._trajectories(buffers, device)

    def _step(self, t: int, action: Tensor, buffers: _Buffers) -> None:
        actions = self._clip(action.numpy())
        self._observation, buffers.rewards[t], terminated, truncated, infos = self.envs.step(actions)
        buffers.dones[t] = terminated | truncated
        if infos:
            self._infos.add(infos, buffers.dones[t])
            ended = np.flatnonzero(truncated & ~terminated)
            buffers.truncated += [(t, int(n), infos["final_obs"][n]) for n in ended]

    def _trajectories(self, buffers: _Buffers, device: torch.device) -> Trajectories:
        rewards, dones = torch.from_numpy(buffers.rewards), torch.from_numpy(buffers.dones)
        returns, lengths = self._episodes.finished(Rollout(rewards=rewards, dones=dones))
        steps, envs, finals = zip(*buffers.truncated, strict=True) if buffers.truncated else ((), (), ())
        final_observations = torch.from_numpy(np.array(finals, buffers.observations.dtype)).to(device)
        return Trajectories(
            observations=torch.from_numpy(buffers.observations).to(device),
            actions=torch.stack(buffers.actions).to(device),
            rewards=rewards.to(device),
            dones=dones.to(device),
            truncated=(torch.tensor(steps, dtype=torch.long), torch.tensor(envs, dtype=torch.long)),
            final_observations=final_observations if buffers.truncated else None,
            episode_returns=torch.from_numpy(returns),
            episode_lengths=torch.from_numpy(lengths).long(),
            infos={name: torch.tensor(values, dtype=torch.float64) for name, values in self._infos.pop().items()},
        )
