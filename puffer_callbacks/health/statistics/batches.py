"""Minibatches between two rollouts: what the first one shows, and how much of the rollout they cover."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_FIRST = {
    "approx_kl": "diagnostics/first_kl",
    "clip_fraction": "diagnostics/first_clip_fraction",
    "policy_loss": "diagnostics/first_policy_loss",
}
"""A training step's number to the tag that it has at the first minibatch."""
_KEYS = ("advantages", "returns", "rewards", "observations")


class BatchTracker:
    """Follows the training steps from one rollout to the next.

    At the first minibatch of a fresh rollout the policy is still the one that collected it: every probability ratio
    is 1, so ``approx_kl`` and ``clip_fraction`` are 0, and so is the ``policy_loss`` of normalized advantages.

    Example:
        >>> tracker = BatchTracker()
        >>> for _ in range(4):
        ...     tracker.add({"approx_kl": 0.0}, {"returns": torch.ones(8)})
        >>> tracker.pop(32)
        {'diagnostics/first_kl': 0.0, 'diagnostics/batch_coverage': 0.25}
    """

    def __init__(self) -> None:
        self._first: dict[str, Any] | None = None
        self._fingerprints: list[Tensor] = []
        self._sizes: list[int] = []

    def add(self, metrics: Mapping[str, Any], batch: Any = None) -> None:
        """Add a training step: its metrics and, where it is known, its batch."""
        if self._first is None:
            self._first = {name: metrics[name] for name in _FIRST if name in metrics}
        tensor = next((batch[key] for key in _KEYS if key in batch), None) if isinstance(batch, Mapping) else None
        if isinstance(tensor, Tensor) and tensor.ndim:
            self._fingerprints.append(tensor.detach().sum(dtype=torch.float64))
            self._sizes.append(len(tensor))

    def pop(self, rollout_size: int) -> dict[str, float]:
        """The statistics since the last call.

        Args:
            rollout_size: the steps T · N that the batches were taken from.

        Returns:
            ``diagnostics/first_{kl,clip_fraction,policy_loss}``, of the first minibatch, and
            ``diagnostics/batch_coverage``, the size of all different batches over that of the rollout, at most 1.
        """
        found = {_FIRST[name]: float(value) for name, value in (self._first or {}).items()}
        if self._fingerprints and rollout_size:
            marks = torch.stack(self._fingerprints).tolist()
            different = dict(zip(marks, self._sizes, strict=True))
            found["diagnostics/batch_coverage"] = min(1.0, sum(different.values()) / rollout_size)
        self._first, self._fingerprints, self._sizes = None, [], []
        return found
