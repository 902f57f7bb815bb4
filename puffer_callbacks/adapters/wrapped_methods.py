"""Methods of a library's object, wrapped while it is recorded."""

from collections.abc import Callable
from functools import wraps
from typing import Any

Around = Callable[..., Any]


def wrap_method(owner: Any, name: str, around: Around) -> Callable[[], None]:
    """Replace a method of an object.

    Args:
        owner: the object; its class stays as it is.
        name: the method's name.
        around: called with the method and its arguments.

    Returns:
        A function that restores what was there, a method of the object's class or one set on the object.

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
