"""Finding the trainer of a module."""

from typing import Any


def trainer_of(trainer_or_module: Any) -> tuple[Any, Any]:
    """The trainer and the module in training, from either; ``(None, module)`` for a module without a trainer.

    Args:
        trainer_or_module: anything with ``callbacks`` is a trainer; a module knows its own as ``trainer``.

    Example:
        >>> trainer_of(object())[0] is None
        True
    """
    if hasattr(trainer_or_module, "callbacks"):
        return trainer_or_module, getattr(trainer_or_module, "lightning_module", None)
    try:
        trainer = trainer_or_module.trainer
    except (AttributeError, RuntimeError):  # Lightning raises where a module is not attached
        trainer = None
    return (trainer if hasattr(trainer, "callbacks") else None), trainer_or_module
