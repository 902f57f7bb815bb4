"""``compared_first``: the hyperparameters that people compare first, such as environment, learning rate, seed."""

from collections.abc import Iterable

_FIRST = (
    ("env_id", "env_name", "environment", "env", "env/name", "task"),
    ("learning_rate", "lr"),
    ("seed",),
    ("algorithm", "algo"),
    ("batch_size", "minibatch_size"),
    ("num_envs", "n_envs"),
)
"""Each under the names that libraries give it."""


def compared_first(names: Iterable[str]) -> list[str]:
    """The hyperparameters that people compare first, in their order.

    Args:
        names: of all hyperparameters; nested names are joined by ``/``.

    Example:
        >>> compared_first(["anneal_lr", "env_id", "learning_rate", "optimizer/lr", "seed"])
        ['env_id', 'learning_rate', 'seed']
    """
    names = list(names)
    found = (next((name for alias in aliases for name in names if _is_alias(name, alias)), None) for aliases in _FIRST)
    return [name for name in found if name is not None]


def _is_alias(name: str, alias: str) -> bool:
    return name == alias or name.endswith(f"/{alias}")
