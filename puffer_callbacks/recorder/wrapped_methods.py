"""Functions and methods of a library, wrapped while a run is recorded."""

from collections.abc import Callable
from functools import wraps
from typing import Any


def wrap_method(owner: Any, name: str, around: Callable[..., Any]) -> Callable[[], None]:
    """Replace a method of an object or class, or a function of a module.

    Args:
        owner: where it is replaced; an object's class stays as it is.
        name: its name.
        around: called with what was there and the arguments.

    Returns:
        A function that restores what was there, unless that was replaced once more.

    Example:
        >>> class Trainer:
        ...     def train(self):
        ...         return 1
        >>> trainer = Trainer()
        >>> restore = wrap_method(trainer, "train", lambda train: train() + 1)
        >>> trainer.train()
        2
        >>> restore(); trainer.train(), vars(trainer)
        (1, {})
    """
    method, was_set = getattr(owner, name), name in vars(owner)

    @wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(method, *args, **kwargs)

    def restore() -> None:
        if vars(owner).get(name) is not wrapped:  # wrapped again since
            return
        if was_set:
            setattr(owner, name, method)
        else:
            delattr(owner, name)

    setattr(owner, name, wrapped)
    return restore
