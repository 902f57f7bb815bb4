"""Minibatches between two rollouts: what the first one shows, and how much of the rollout they cover."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.health.statistics.pairing import pair_moments, pairing
from puffer_callbacks.histogram.local_tensor import where_float64_is
from puffer_callbacks.values.scalars import to_host

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
        {'diagnostics/first_kl': 0.0, 'diagnostics/training_steps': 4.0, 'diagnostics/batch_coverage': 0.25}
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._first: dict[str, Any] | None = None
        self._value_loss: Any = None
        self._moments: Tensor | None = None
        self._steps = 0
        self._policy_losses: list[Any] = []
        self._fingerprints: list[Tensor] = []
        self._sizes: list[int] = []

    def add(self, metrics: Mapping[str, Any], batch: Any = None) -> None:
        """Add a training step: its metrics and, where it is known, its batch."""
        if self._first is None:
            self._first = {name: _copy(metrics[name]) for name in _FIRST if name in metrics}
            self._value_loss = _copy(metrics.get("value_loss"))
            if isinstance(batch, Mapping):
                self._moments = pair_moments(batch.get("values"), batch.get("returns"))
        self._steps += 1
        if "policy_loss" in metrics:
            self._policy_losses.append(_copy(metrics["policy_loss"]))
        tensor = next((batch[key] for key in _KEYS if key in batch), None) if isinstance(batch, Mapping) else None
        if isinstance(tensor, Tensor) and tensor.ndim:
            self._fingerprints.append(where_float64_is(tensor.detach()).sum(dtype=torch.float64))
            self._sizes.append(len(tensor))

    def pop(self, rollout_size: int, moments: Tensor | None = None) -> dict[str, float]:
        """The statistics since the last call.

        Args:
            rollout_size: the steps T · N that the batches were taken from.
            moments: ``pair_moments`` of the rollout, which is the batch of an update of one step.

        Returns:
            ``diagnostics/first_{kl,clip_fraction,policy_loss}``, of the first minibatch,
            ``diagnostics/value_pairing`` of its value loss (see ``pairing``),
            ``diagnostics/training_steps``, how many there were,
            ``diagnostics/largest_policy_loss``, the largest magnitude over two minibatches or more, and
            ``diagnostics/batch_coverage``, the size of all different batches over that of the rollout, at most 1.
        """
        found = {_FIRST[name]: float(value) for name, value in (self._first or {}).items()}
        found |= self._pairing(moments if self._steps == 1 else None)
        found |= {"diagnostics/training_steps": float(self._steps)} if self._steps else {}
        if len(self._policy_losses) > 1:
            losses = to_host([torch.as_tensor(loss) for loss in self._policy_losses])
            found["diagnostics/largest_policy_loss"] = max(map(abs, losses))
        if self._fingerprints and rollout_size:
            marks = torch.stack(self._fingerprints).tolist()
            different = dict(zip(marks, self._sizes, strict=True))
            found["diagnostics/batch_coverage"] = min(1.0, sum(different.values()) / rollout_size)
        self._reset()
        return found

    def _pairing(self, of_rollout: Tensor | None) -> dict[str, float]:
        moments = of_rollout if self._moments is None else self._moments
        if moments is None or self._value_loss is None:
            return {}
        weight = pairing(float(self._value_loss), moments)
        return {} if weight is None else {"diagnostics/value_pairing": weight}


def _copy(metric: Any) -> Any:
    """A metric of this step: a tensor may be used again for later ones, as the output of a CUDA graph."""
    return metric.detach().clone() if isinstance(metric, Tensor) else metric
