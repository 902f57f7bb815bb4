"""Actions, values, rewards and episode ends that belong to observations."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.pictures.space_leaves import Leaf, flatten_space
from puffer_callbacks.pictures.text import number
from puffer_callbacks.rollout import Rollout


@dataclass(frozen=True, eq=False)
class Transitions:
    """The transitions of T steps of N environments.

    Args:
        actions: path to [T, N, *act]; the path of a single leaf is empty.
        rewards: [T, N], if known.
        dones: [T, N], true where the episode ended at this step, if known.
        values: [T, N], if there is a critic.

    Example:
        >>> transitions = Transitions({"": np.ones((2, 1), int)}, np.zeros((2, 1)), np.zeros((2, 1), bool))
        >>> transitions.describe(1, 0)
        ['step 1', 'action 1', 'reward 0']
    """

    actions: Mapping[str, Leaf]
    rewards: NDArray[np.floating] | None = None
    dones: NDArray[np.bool_] | None = None
    values: NDArray[np.floating] | None = None

    @staticmethod
    def of(rollout: Rollout, *, num_envs: int | None = None) -> "Transitions":
        """The transitions of a rollout's first ``num_envs`` environments; all by default."""
        fields = (rollout.rewards, rollout.dones, rollout.values)
        leaves = (flatten_space(field, num_envs=num_envs).get("") for field in fields)
        return Transitions(flatten_space(rollout.actions, num_envs=num_envs), *leaves)

    def describe(self, step: int, env: int) -> list[str]:
        """Lines of text: step and episode end; action; value and reward. What is ``None`` is left out."""
        done = self.dones is not None and self.dones[step, env]
        lines = [f"step {step}{', done' if done else ''}"]
        if self.actions:
            lines.append("action " + "; ".join(number(leaf[step, env]) for leaf in self.actions.values()))
        outcome = {"value": self.values, "reward": self.rewards}
        outcomes = [f"{name} {number(numbers[step, env])}" for name, numbers in outcome.items() if numbers is not None]
        return [*lines, ", ".join(outcomes)] if outcomes else lines

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
        """The known ones of value, reward and episode end, [T, N] each."""
        rows: dict[str, Leaf | None] = {"value": self.values, "reward": self.rewards, "done": self.dones}
        return {name: row for name, row in rows.items() if row is not None}
