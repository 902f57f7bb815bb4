"""A bounded sample of a rollout, as NumPy arrays on the host."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from puffer_callbacks.health.series import LARGEST, Floats
from puffer_callbacks.rollout import Rollout

MAX_STEPS = 8192
"""Environment steps in a sample: statistics of more cost time and change little."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Whole time series of some environments of a rollout: T steps of M environments.

    Args:
        observations: [T, M, D] flattened, or ``None`` where they are no single tensor of numbers.
        actions: [T, M, A] flattened, or ``None``.
        rewards: [T, M] or ``None``; so are all that follow.
        dones: [T, M] bool.
        values: [T, M].
        log_probs: [T, M].
        advantages: [T, M].
        returns: [T, M].
        entropy: [T, M].
    """

    observations: Floats | None
    actions: Floats | None
    rewards: Floats | None
    dones: npt.NDArray[np.bool_] | None
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

    def plain(tensor: Any) -> Floats | None:
        return _to_numpy(tensor[:, :num_envs]) if isinstance(tensor, Tensor) and tensor.numel() else None

    def flat(tensor: Any) -> Floats | None:
        array = plain(tensor)
        return None if array is None else array.reshape(*array.shape[:2], -1)

    dones = plain(rollout.dones)

    return Sample(
        observations=flat(rollout.observations),
        actions=flat(rollout.actions),
        rewards=plain(rollout.rewards),
        dones=None if dones is None else dones.astype(np.bool_),
        values=plain(rollout.values),
        log_probs=plain(rollout.log_probs),
        advantages=plain(rollout.advantages),
        returns=plain(rollout.returns),
        entropy=plain(rollout.entropy),
    )


def _to_numpy(tensor: Tensor) -> Floats:
    array: Floats = tensor.detach().cpu().double().numpy()
    return np.where(np.abs(array) < LARGEST, array, np.inf)  # so is NaN: the statistics ask for finite ones
