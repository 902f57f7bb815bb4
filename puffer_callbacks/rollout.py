"""``Rollout``, the data of ``on_rollout_end``."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_PER_STEP = ("rewards", "dones", "values", "log_probs", "advantages", "returns", "entropy")
_PER_EPISODE = ("episode_returns", "episode_lengths")


@dataclass(frozen=True, eq=False)
class Rollout:
    """The experience collected between two updates: T steps of N environments, E finished episodes.

    Every field is optional; each enables what stands behind its arrow.

    Args:
        observations: [T, N, *obs], a mapping or tuple of such tensors for a dict or tuple space, or a list of T
            lists of N strings or sequences → pictures ``observations``.
        actions: [T, N, *act] → histogram ``rollout/actions``.
        rewards: [T, N] → histogram ``rollout/rewards``; with ``dones`` also ``train/reward``,
            ``train/episode_length`` and ``rollout/return_*``, counted across rollouts.
        dones: [T, N], true where the episode ended at this step.
        values: [T, N], the critic's estimate for each observation → histogram ``rollout/values``; with
            ``returns`` also ``diagnostics/explained_variance``.
        log_probs: [T, N], of the actions under the policy that took them → diagnosis of the policy.
        advantages: [T, N] → histogram ``rollout/advantages``.
        returns: [T, N], the critic's targets.
        entropy: [T, N], of the policy at each observation, in nats → diagnosis of exploration.
        episode_returns: [E], undiscounted → ``train/reward``, ``rollout/return_*``, in place of a count.
        episode_lengths: [E], in steps → ``train/episode_length``, ``rollout/episode_length_mean``.
        infos: reward components and other numbers per episode, each [E] or of any shape →
            ``rollout/info/<name>``, and ``rollout/success_rate`` from ``success`` or ``is_success``.
        env_steps: environment steps so far, this rollout included, over all ranks → the x axis.
        action_space: the Gymnasium space of one action, for its scale.

    Raises:
        TypeError: if a field is not a tensor, or ``env_steps`` is not an integer.
        ValueError: if the shapes disagree.

    Example:
        >>> zeros = torch.zeros(4, 2)
        >>> rollout = Rollout(torch.zeros(4, 2, 3), zeros, zeros, zeros.bool(), env_steps=8)
        >>> rollout.num_steps, rollout.num_envs
        (4, 2)
    """

    observations: Any = None
    actions: Tensor | None = None
    rewards: Tensor | None = None
    dones: Tensor | None = None
    values: Tensor | None = None
    log_probs: Tensor | None = None
    advantages: Tensor | None = None
    returns: Tensor | None = None
    entropy: Tensor | None = None
    episode_returns: Tensor | None = None
    episode_lengths: Tensor | None = None
    infos: Mapping[str, Tensor] = field(default_factory=dict)
    env_steps: int = 0
    action_space: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.observations, Tensor | Mapping | tuple | list | None):
            given = type(self.observations).__name__
            raise TypeError(f"Rollout.observations: expected a tensor, mapping, tuple or list, got {given}")
        if isinstance(self.observations, Tensor):
            _check_tensor("Rollout.observations", self.observations)
        for name in ("actions", *_PER_STEP, *_PER_EPISODE):
            _check_tensor(f"Rollout.{name}", getattr(self, name), optional=True)
        if not isinstance(self.infos, Mapping):
            raise TypeError(f"Rollout.infos: expected a mapping of tensors, got {type(self.infos).__name__}")
        for name, value in self.infos.items():
            _check_tensor(f"Rollout.infos[{name!r}]", value)
        object.__setattr__(self, "env_steps", _integer("Rollout.env_steps", self.env_steps))
        self._check_shapes()

    def _check_shapes(self) -> None:
        tensors = {name: value for name in _PER_STEP if (value := getattr(self, name)) is not None}
        for name, value in list(tensors.items())[:1]:
            if value.ndim != 2:
                raise ValueError(f"Rollout.{name}: expected the shape [T, N], got {list(value.shape)}")
        expected = self._steps_and_envs()
        for name in ("observations", "actions"):
            value = getattr(self, name)
            if isinstance(value, Tensor) and (value.ndim < 2 or list(value.shape[:2]) != expected):
                start, shape = expected if len(expected) == 2 else "[T, N]", list(value.shape)
                raise ValueError(f"Rollout.{name}: expected a shape that starts with {start}, got {shape}")
        for name, value in tensors.items():
            if list(value.shape) != expected:
                raise ValueError(f"Rollout.{name}: expected the shape {expected}, got {list(value.shape)}")
        episodes = {name: value for name in _PER_EPISODE if (value := getattr(self, name)) is not None}
        if any(value.ndim != 1 for value in episodes.values()) or len({len(v) for v in episodes.values()}) > 1:
            given = ", ".join(f"{name} {list(value.shape)}" for name, value in episodes.items())
            raise ValueError(f"Rollout: expected the same shape [E] for every episode field, got {given}")

    def _steps_and_envs(self) -> list[int]:
        """[T, N] of the first field that has it, [0, 0] without one."""
        fields = (getattr(self, name) for name in (*_PER_STEP, "actions", "observations"))
        return next((list(each.shape[:2]) for each in fields if isinstance(each, Tensor)), [0, 0])

    @property
    def num_steps(self) -> int:
        """T, the steps of each environment; 0 for a rollout of episodes alone."""
        return self._steps_and_envs()[0]

    @property
    def num_envs(self) -> int:
        """N, the number of environments; 0 for a rollout of episodes alone."""
        return self._steps_and_envs()[1]

    @staticmethod
    def even_sample(tensor: Tensor, *, most: int) -> Tensor:
        """A field [T, N, …] at even distances through the rollout: [B, …], detached.

        Args:
            tensor: the field.
            most: B at most.
        """
        steps = tensor.detach().flatten(0, 1)
        return steps[:: -(-len(steps) // most) or 1]

    @staticmethod
    def episodes_from(infos: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
        """Returns and lengths of the episodes that Gymnasium's ``RecordEpisodeStatistics`` reports.

        Args:
            infos: the ``infos`` of a step of one environment or of a vector of them, or ``infos["episode"]``; or
                a sequence of those: of several steps, or of each environment as in Stable-Baselines3.

        Returns:
            ``episode_returns`` [E] in float64 and ``episode_lengths`` [E] in int64.

        Example:
            >>> infos = {"episode": {"r": [0.0, 7.5], "l": [0, 20]}, "_episode": [False, True]}
            >>> Rollout.episodes_from(infos)
            (tensor([7.5000], dtype=torch.float64), tensor([20]))
        """
        steps = [infos] if isinstance(infos, Mapping) else infos
        episodes = [episode for step in steps for episode in _episodes(step)]
        returns = torch.cat([torch.zeros(0, dtype=torch.float64), *(returns for returns, _ in episodes)])
        lengths = torch.cat([torch.zeros(0, dtype=torch.int64), *(lengths for _, lengths in episodes)])
        return returns, lengths


def _episodes(infos: Mapping[str, Any]) -> Iterable[tuple[Tensor, Tensor]]:
    """Returns and lengths of the finished episodes of a step; same-step autoreset has them in ``final_info``."""
    if {"r", "l"} <= infos.keys():
        infos = {"episode": infos}
    for source in (infos, infos.get("final_info")):
        if isinstance(source, Mapping) and "episode" in source:
            returns, lengths = (torch.as_tensor(source["episode"][key]).reshape(-1) for key in "rl")
            finished = (lengths > 0) & torch.as_tensor(source.get("_episode", True))
            yield returns[finished].double(), lengths[finished].long()


def _check_tensor(name: str, value: object, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
    if value.is_nested:
        raise ValueError(f"{name}: expected a tensor with a shape, got a nested tensor")


def _integer(name: str, value: Any) -> int:
    """The value as a Python integer: NumPy's are integers too, booleans and tensors are not."""
    if isinstance(value, bool | Tensor) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    return operator.index(value)
