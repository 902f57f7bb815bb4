"""Actions, values, rewards and episode ends that belong to observations."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.pictures.space_leaves import Leaf
from puffer_callbacks.pictures.text import number


@dataclass(frozen=True, eq=False)
class Transitions:
    """The transitions of T steps of N environments.

    Args:
        actions: path to [T, N, *act]; the path of a single leaf is empty.
        rewards: [T, N].
        dones: [T, N], true where the episode ended at this step.
        values: [T, N], if there is a critic.

    Example:
        >>> transitions = Transitions({"": np.ones((2, 1), int)}, np.zeros((2, 1)), np.zeros((2, 1), bool))
        >>> transitions.describe(1, 0)
        ['step 1', 'action 1', 'reward 0']
    """

    actions: Mapping[str, Leaf]
    rewards: NDArray[np.floating]
    dones: NDArray[np.bool_]
    values: NDArray[np.floating] | None = None

    def describe(self, step: int, env: int) -> list[str]:
        """Three lines of text: step and episode end; action; value and reward."""
        done = ", done" if self.dones[step, env] else ""
        actions = "; ".join(number(leaf[step, env]) for leaf in self.actions.values())
        value = "" if self.values is None else f"value {number(self.values[step, env])}, "
        return [f"step {step}{done}", f"action {actions}", f"{value}reward {number(self.rewards[step, env])}"]

    def action_rows(self) -> dict[str, Leaf]:
        """The numbers of an action by name, [T, N] each; actions that are strings have none."""
        rows: dict[str, Leaf] = {}
        for path, leaf in self.actions.items():
            name = f"action {path}".strip()
            if leaf.dtype.kind in "biuf":
                flat = leaf.reshape(*leaf.shape[:2], -1)
                count = flat.shape[-1]
                rows |= {f"{name} {i}" if count > 1 else name: flat[..., i] for i in range(count)}
        return rows

    def outcome_rows(self) -> dict[str, Leaf]:
        """Value, reward and episode end, [T, N] each."""
        values = {} if self.values is None else {"value": self.values}
        return {**values, "reward": self.rewards, "done": self.dones}
