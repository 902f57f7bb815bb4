"""The hyperparameters that people compare first: environment, learning rate, seed, …."""

from collections.abc import Iterable, Mapping

_ENVIRONMENT = ("env_id", "env", "env_name", "environment", "env/name", "task")
_FIRST = (
    _ENVIRONMENT,
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


def environment_of(settings: Mapping[str, object]) -> str:
    """The name of the environment; empty where the hyperparameters do not have it.

    Args:
        settings: the hyperparameters; nested names are joined by ``/``.

    Example:
        >>> environment_of({"env": 3, "ppo/env_name": "puffer_breakout"})
        'puffer_breakout'
    """
    for alias in _ENVIRONMENT:
        for name, value in settings.items():
            if isinstance(value, str) and _is_alias(name, alias):
                return value
    return ""


def _is_alias(name: str, alias: str) -> bool:
    return name == alias or name.endswith(f"/{alias}")
