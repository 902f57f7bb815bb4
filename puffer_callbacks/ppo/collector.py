"""Steps the environments with the policy and writes down what happens."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from puffer_callbacks.ppo.actor_critic import ActorCritic
from puffer_callbacks.ppo.envs import action_clipper
from puffer_callbacks.ppo.episode_trackers import EpisodeTracker, InfoTracker

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """T steps of N environments; E episodes ended meanwhile, C of them cut by a time limit.

    What belongs to steps is on the policy's device, what belongs to episodes on the CPU.

    Args:
        observations: [T + 1, N, *obs]; the last is where the next rollout begins.
        actions: [T, N, *act], as the policy chose them.
        rewards: [T, N] float32.
        dones: [T, N].
        cut: ([C], [C]), the steps and environments of episodes that a time limit cut.
        final_observations: [C, *obs], the last observations of those; ``None`` where there are none.
        episode_returns: [E] float64.
        episode_lengths: [E] int64.
        infos: numbers of the finished episodes.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    dones: Tensor
    cut: tuple[Tensor, Tensor]
    final_observations: Tensor | None
    episode_returns: Tensor
    episode_lengths: Tensor
    infos: dict[str, Tensor]


class Collector:
    """Runs a policy in vectorized environments, rollout after rollout.

    Args:
        envs: environments that reset in the step that ends an episode (``make_envs``).
        num_steps: T, steps of each environment in a rollout.
        seed: of the environments and of the policy's choices.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], *, num_steps: int, seed: int) -> None:
        self.envs, self.num_steps = envs, num_steps
        self._legal = action_clipper(envs.single_action_space)
        self._generator = torch.Generator().manual_seed(seed)
        self._observation: Array = np.asarray(envs.reset(seed=seed)[0])
        self._episodes = EpisodeTracker(envs.num_envs)
        self._infos = InfoTracker(envs.num_envs)

    @torch.no_grad()
    def collect(self, policy: ActorCritic, *, device: torch.device) -> Trajectories:
        """One rollout; the policy lies on ``device``."""
        steps, num_envs, seen = self.num_steps, self.envs.num_envs, self._observation
        dtype = np.float32 if seen.dtype == np.float64 else seen.dtype
        buffer = np.empty((steps + 1, *seen.shape), dtype)  # a new one each time: others may keep the last
        rewards, dones = np.empty((steps, num_envs), np.float32), np.empty((steps, num_envs), np.bool_)
        noises = policy.noise(steps, num_envs, generator=self._generator).to(device)
        actions: list[Tensor] = []
        cut: list[tuple[int, int, Array]] = []
        for t, (observation, noise) in enumerate(zip(torch.from_numpy(buffer[:-1]), noises, strict=True)):
            buffer[t] = seen
            action = policy.distribution(observation.to(device)).sample(noise).cpu()
            actions.append(action)
            seen, rewards[t], terminated, truncated, infos = self.envs.step(self._legal(action.numpy()))
            dones[t] = terminated | truncated
            if infos:
                self._infos.add(infos, dones[t])
                cut += [(t, int(n), infos["final_obs"][n]) for n in np.flatnonzero(truncated & ~terminated)]
        buffer[steps] = self._observation = seen
        returns, lengths = self._episodes.add(rewards, dones)
        times, numbers, finals = zip(*cut, strict=True) if cut else ((), (), ())
        return Trajectories(
            observations=torch.from_numpy(buffer).to(device),
            actions=torch.stack(actions).to(device),
            rewards=torch.from_numpy(rewards).to(device),
            dones=torch.from_numpy(dones).to(device),
            cut=(torch.tensor(times, dtype=torch.long), torch.tensor(numbers, dtype=torch.long)),
            final_observations=torch.from_numpy(np.array(finals, dtype)).to(device) if cut else None,
            episode_returns=torch.from_numpy(returns),
            episode_lengths=torch.from_numpy(lengths),
            infos={name: torch.tensor(values) for name, values in self._infos.take().items()},
        )
