"""A bounded sample of a rollout, as NumPy arrays on the host."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from puffer_callbacks.rollout import Rollout

Floats = npt.NDArray[np.float64]

MAX_STEPS = 8192
"""Environment steps in a sample: statistics of more cost time and change little."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Whole time series of some environments of a rollout: T steps of M environments.

    Args:
        observations: [T, M, D] flattened, or ``None`` where they are no single tensor of numbers.
        actions: [T, M, A] flattened.
        rewards: [T, M].
        dones: [T, M] bool.
        values: [T, M] or ``None``; so are ``log_probs``, ``advantages``, ``returns`` and ``entropy``.
    """

    observations: Floats | None
    actions: Floats
    rewards: Floats
    dones: npt.NDArray[np.bool_]
    values: Floats | None
    log_probs: Floats | None
    advantages: Floats | None
    returns: Floats | None
    entropy: Floats | None


def sample_of(rollout: Rollout, *, max_steps: int = MAX_STEPS) -> Sample:
    """The sample of a rollout: its first environments, as many as fit into ``max_steps``, but at least one.

    Environments are kept whole because advantages and episode ends are judged along time.
    """
    num_envs = max(1, min(rollout.num_envs, max_steps // max(1, rollout.num_steps)))

    def flat(tensor: Tensor) -> Floats:
        array = _to_numpy(tensor[:, :num_envs])
        return array.reshape(*array.shape[:2], -1)

    def plain(tensor: Tensor | None) -> Floats | None:
        return None if tensor is None else _to_numpy(tensor[:, :num_envs])

    return Sample(
        observations=flat(rollout.observations) if isinstance(rollout.observations, Tensor) else None,
        actions=flat(rollout.actions),
        rewards=_to_numpy(rollout.rewards[:, :num_envs]),
        dones=_to_numpy(rollout.dones[:, :num_envs]).astype(np.bool_),
        values=plain(rollout.values),
        log_probs=plain(rollout.log_probs),
        advantages=plain(rollout.advantages),
        returns=plain(rollout.returns),
        entropy=plain(rollout.entropy),
    )


def _to_numpy(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.detach().double().cpu().numpy()
