"""A configuration in any of the forms that scripts have it in."""

from collections.abc import Mapping
from typing import Any

from puffer_callbacks.config.flatten import flat_settings


def settings_of(hparams: Any) -> Mapping[str, Any]:
    """The configuration, flat.

    Args:
        hparams: a mapping, ``Namespace`` or dataclass, nested at will.

    Raises:
        TypeError: if it is none of them.

    Example:
        >>> settings_of({"ppo": {"gamma": 0.99}})
        {'ppo/gamma': 0.99}
    """
    try:
        return flat_settings(hparams)
    except (TypeError, ValueError):
        expected = "expected a mapping, Namespace or dataclass"
        raise TypeError(f"hparams: {expected}, got {type(hparams).__name__}") from None
