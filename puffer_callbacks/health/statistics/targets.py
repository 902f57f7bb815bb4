"""Updates of a critic with a target network: whether the one lags behind the other, and what the critic learns."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from puffer_callbacks.health.modules import has_actor, role_of
from puffer_callbacks.health.statistics.pairing import pair_moments, pairing
from puffer_callbacks.histogram.local_tensor import where_float64_is
from puffer_callbacks.values.scalars import as_scalar, to_host

_STEPS = 5
"""Training steps in a row that are followed."""
_LOSSES = ("value_loss", "critic_loss", "qf_loss", "td_loss", "loss")
"""What loops call the critic's loss."""
_ROUNDING = 1e-6
"""Of the targets' size: what is less is the rounding of float32, as where γ is 0."""


class TargetTracker:
    """Follows a few training steps in a row of an algorithm that has a target network.

    Example:
        >>> tracker, net = TargetTracker(), {"q.weight": torch.ones(2, 2), "q_target.weight": torch.ones(2, 2)}
        >>> tracker.start(net.items())
        >>> for step in range(5):
        ...     for each in net.values():
        ...         each += 1
        ...     tracker.add_step({}, None, updates=step)
        >>> tracker.pop()
        {'diagnostics/target_copied': 1.0}
    """

    def __init__(self) -> None:
        self._targets: list[Tensor] = []
        self._trained: list[Tensor] = []
        self._outputs: Tensor | None = None
        self._ever_moved: Tensor | None = None
        self._clear()

    def _clear(self) -> None:
        self._last: tuple[set[float], set[float], int] | None = None
        self._copied: list[bool] = []
        self._found: dict[str, float] = {}
        self._steps = 0

    def start(self, parameters: Iterable[tuple[str, Tensor]]) -> None:
        """Begin with the next training step, or go on where fewer than five came since the last start.

        Args:
            parameters: names and tensors of all weights; none of an algorithm that is not to be followed.
        """
        named = [(name, each) for name, each in parameters if not is_lazy(each) and each.is_floating_point()]
        self._trained = [each for name, each in named if role_of(name) != "target"]
        # without the trained ones, as where these are sharded, there is nothing to compare
        self._targets = [each for name, each in named if role_of(name) == "target"] if self._trained else []
        roles = {role_of(name) for name, _ in named}
        critics = {"critic"} if "critic" in roles or has_actor(roles) else roles - {"target"}  # whatever its name
        layers = [each for name, each in named if role_of(name) in critics and each.ndim == 2]
        if self._targets and layers and 1 < len(layers[-1]) < layers[-1].shape[1]:  # as many as actions, of many units
            self._see_outputs(layers[-1].detach())

    @property
    def is_following(self) -> bool:
        """Whether training steps are wanted."""
        return bool(self._targets) and self._steps < _STEPS

    @torch.no_grad()
    def add_step(self, metrics: Mapping[str, Any], batch: Any, *, updates: int) -> None:
        """Add a training step.

        Args:
            metrics: its scalars, the critic's loss among them.
            batch: see ``batch_statistics``.
            updates: optimizer steps so far.
        """
        self._steps += 1
        if not self._found and isinstance(batch, Mapping):
            loss = next((as_scalar(metrics[name]) for name in _LOSSES if name in metrics), None)
            self._found = batch_statistics(batch, None if loss is None else float(loss))
        norms = to_host([*torch._foreach_norm(self._targets), *torch._foreach_norm(self._trained)])
        target, trained = set(norms[: len(self._targets)]) - {0.0}, set(norms[len(self._targets) :])
        if self._last is not None:
            before, trained_before, updates_before = self._last
            is_copy = target <= trained or target <= trained_before
            if updates > updates_before:  # before learning starts there is nothing to copy
                self._copied.append(is_copy and target != before and updates == updates_before + 1)
        self._last = target, trained, updates

    def pop(self) -> dict[str, float]:
        """The statistics of the steps that were followed, once these are over.

        Returns:
            ``diagnostics/target_copied``: 1 where after each step the target network has the weights that the trained
            one has, or had before that step, and 0 elsewhere, unless a step had no update;
            ``diagnostics/untrained_outputs``: the share of the
            critic's outputs, in its last layer, whose weights no update has changed; and ``batch_statistics``.
        """
        found: dict[str, float] = {}
        if self._ever_moved is not None:
            found["diagnostics/untrained_outputs"] = float((~self._ever_moved).double().mean())
        if self._steps == _STEPS:
            found |= self._found
            if len(self._copied) == _STEPS - 1:
                found["diagnostics/target_copied"] = float(all(self._copied))
            self._clear()
        return found

    def _see_outputs(self, weight: Tensor) -> None:
        """Note which rows of the last layer have changed since the last look."""
        before, self._outputs = self._outputs, weight.clone()
        if before is None or before.shape != weight.shape:
            self._ever_moved = None
        elif (moved := (weight != before).any(1)).any():
            self._ever_moved = moved if self._ever_moved is None else self._ever_moved | moved


def batch_statistics(batch: Mapping[str, Any], loss: float | None = None) -> dict[str, float]:
    """What the targets of a replay batch, ``r + γ (1 − terminated) max Q``, are made of.

    Args:
        batch: ``"values"`` of the actions taken, ``"returns"``, which are their targets, ``"rewards"`` as
            these have them, and ``"terminated"``, where an episode ended other than by a time limit: [B] or [B, 1];
            what needs one that is missing is left out.
        loss: the critic's.

    Returns:
        ``diagnostics/value_pairing`` (see ``pairing``); ``diagnostics/terminal_bootstrap``, the size of what targets
        add to rewards where episodes end, over that of all samples: 0 in a correct program; and
        ``diagnostics/next_value_spread``, the deviation of what they add elsewhere, over its size.

    Example:
        >>> rewards, targets, ends = torch.ones(3), torch.tensor([3.0, 5.0, 1.0]), torch.tensor([0.0, 0.0, 1.0])
        >>> batch_statistics({"returns": targets, "rewards": rewards, "terminated": ends})
        {'diagnostics/terminal_bootstrap': 0.0, 'diagnostics/next_value_spread': 0.31622776601683794}
    """
    values, targets, rewards, ended = (
        _flat(batch.get(name)) for name in ("values", "returns", "rewards", "terminated")
    )
    found: dict[str, float] = {}
    moments = pair_moments(values, targets)
    if moments is not None and loss is not None and (weight := pairing(loss, moments)) is not None:
        found["diagnostics/value_pairing"] = weight
    if targets is None or rewards is None or ended is None or not len(targets) == len(rewards) == len(ended):
        return found
    added, is_open = targets - rewards, ended == 0
    if not is_open.any() or not _size(added) > _ROUNDING * _size(targets):
        return found
    if not is_open.all():
        found["diagnostics/terminal_bootstrap"] = _size(added[~is_open]) / _size(added)
    if _size(added[is_open]) > 0:
        found["diagnostics/next_value_spread"] = float(added[is_open].std(correction=0)) / _size(added[is_open])
    return found


def _flat(numbers: Any) -> Tensor | None:
    if not isinstance(numbers, Tensor) or not numbers.numel():
        return None
    return where_float64_is(numbers.detach()).double().flatten()


def _size(numbers: Tensor) -> float:
    return float(numbers.square().mean().sqrt())
