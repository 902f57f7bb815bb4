"""``ConfiguredOptimizers``: the settings of optimizers when a run began."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from puffer_callbacks.config.flatten import flat_settings
from puffer_callbacks.values import Setting

Group = dict[str, Setting]


class ConfiguredOptimizers:
    """The settings of every optimizer's parameter groups when the run began.

    Schedulers, and loops that anneal by hand, write over them in the optimizer and so in its checkpoint. An optimizer
    that is constructed with other arguments than before is configured anew.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        >>> configured = ConfiguredOptimizers()
        >>> first = configured.read([optimizer], has_begun=False)
        >>> optimizer.param_groups[0]["lr"] = 0.001
        >>> configured.read([optimizer], has_begun=True)[0][0]["lr"]
        0.1
    """

    def __init__(self) -> None:
        self._kept: list[dict[str, Any]] = []

    def read(self, optimizers: Iterable[Any], *, has_begun: bool) -> list[list[Group]]:
        """The settings of each optimizer's groups.

        Args:
            optimizers: torch optimizers, always in one order.
            has_begun: whether the run has taken steps, so that the settings may be others by now.
        """
        if not has_begun:
            self._kept = []
        found = []
        for at, optimizer in enumerate(optimizers):
            now = _settings(optimizer, scheduled=has_begun)
            kept = self._kept[at] if at < len(self._kept) else now
            if kept["defaults"] == now["defaults"]:
                groups = [*kept["groups"], *now["groups"][len(kept["groups"]) :]]
                now["groups"] = groups[: len(now["groups"])]
            found.append(now)
        self._kept = [*found, *self._kept[len(found) :]]  # some optimizers are found at their first step
        return [each["groups"] for each in found]

    def state_dict(self) -> list[dict[str, Any]]:
        """The settings, for a checkpoint, in plain numbers and strings."""
        return self._kept

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Restore the settings of a checkpoint."""
        self._kept = list(state)


def _settings(optimizer: Any, *, scheduled: bool) -> dict[str, Any]:
    """What the optimizer was constructed with, and what its groups have now; of a schedule, where it began."""
    names = list(optimizer.defaults)
    groups = [{**optimizer.defaults, **group} for group in optimizer.param_groups] or [optimizer.defaults]
    if scheduled:
        groups = [group | ({"lr": group["initial_lr"]} if "initial_lr" in group else {}) for group in groups]
    constant = {name: value for name, value in optimizer.defaults.items() if not isinstance(value, Tensor)}
    return {
        "defaults": flat_settings(constant),
        "groups": [flat_settings({name: group[name] for name in names}) for group in groups],
    }
