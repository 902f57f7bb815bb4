"""Text and hyperparameter values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Setting = float | int | str | bool
"""What a hyperparameter can be, once flattened."""


def plain_setting(value: object) -> object:
    """A hyperparameter's value, a whole float as an integer: TensorBoard keeps all numbers as floats.

    Example:
        >>> plain_setting(64.0), plain_setting(0.5), plain_setting("64.0")
        (64, 0.5, '64.0')
    """
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


@dataclass(frozen=True)
class Text:
    """A text, shown as plain text by every backend.

    Args:
        text: one line or several.

    Raises:
        TypeError: if ``text`` is not a string.

    Example:
        >>> Text("the run ended").text
        'the run ended'
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"Text: expected a string, got {type(self.text).__name__}")


@dataclass(frozen=True)
class Alert(Text):
    """A text that wants attention: W&B notifies of it, other backends show it as any text.

    Args:
        text: one line or several.
        title: one line.
        severity: ``"info"``, ``"warning"`` or ``"critical"``.

    Raises:
        ValueError: if ``severity`` is none of the three.

    Example:
        >>> Alert("KL up to 0.5 nats", title="kl_large", severity="warning").severity
        'warning'
    """

    title: str = ""
    severity: Literal["info", "warning", "critical"] = "info"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.severity not in ("info", "warning", "critical"):
            raise ValueError(f"Alert: expected info, warning or critical, got {self.severity!r}")


@dataclass(frozen=True)
class Hyperparameters:
    """The flat configuration of a run, with its final metrics.

    Args:
        settings: name (nested names joined by ``/``) to float, int, string or boolean.
        metrics: tag to the value at the end of the run; at the start, the expected tags with ``None``.
        status: ``"running"``, ``"success"`` or ``"failure"``.

    Raises:
        TypeError: if a setting is not a float, an int, a string or a boolean.
        ValueError: if ``status`` is none of the three.

    Example:
        >>> Hyperparameters({"ppo/gamma": 0.99}).settings["ppo/gamma"]
        0.99
    """

    settings: Mapping[str, Setting]
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    status: str = "running"

    def __post_init__(self) -> None:
        for name, setting in self.settings.items():
            if not isinstance(setting, float | int | str | bool):
                given = type(setting).__name__
                raise TypeError(f"Hyperparameters: expected a number, string or boolean for {name!r}, got {given}")
        if self.status not in ("running", "success", "failure"):
            raise ValueError(f"Hyperparameters: expected running, success or failure, got {self.status!r}")
