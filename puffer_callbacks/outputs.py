"""The scalars of what a training step returns."""

from collections.abc import Mapping

from torch import Tensor

from puffer_callbacks.values.scalars import Scalar, as_scalar


class OutputReader:
    """Finds the scalars in what training steps return; names that were plain tensors once are trusted to stay.

    Example:
        >>> OutputReader().read({"loss": 0.5, "aux": {"kl": 0.1}, "logits": [1, 2]}, loss_scale=4)
        {'loss': 2.0, 'aux/kl': 0.1}
    """

    def __init__(self) -> None:
        self._plain: set[object] = set()

    def read(self, outputs: object, *, loss_scale: int = 1) -> dict[str, Scalar]:
        """Every scalar, detached; nested names are joined by ``/``.

        Args:
            outputs: a mapping, a loss tensor, or ``None``.
            loss_scale: what Lightning divided ``loss`` by: the number of accumulated batches.
        """
        if isinstance(outputs, Tensor):
            outputs = {"loss": outputs}
        if not isinstance(outputs, Mapping):
            return {}
        scalars: dict[str, Scalar] = {}
        self._gather(outputs, scalars)
        if loss_scale != 1 and "loss" in scalars:
            scalars["loss"] = scalars["loss"] * loss_scale
        return scalars

    def _gather(self, outputs: Mapping[object, object], scalars: dict[str, Scalar], prefix: str = "") -> None:
        plain = () if prefix else self._plain
        for name, value in outputs.items():
            # attributes of a tensor are slow to ask for, and this is at every step
            if name in plain and type(value) is Tensor and not value.requires_grad and not value.ndim:
                scalars[name] = value  # type: ignore[index]  # only strings are in there
                continue
            scalar = as_scalar(value)
            if scalar is not None:
                scalars[f"{prefix}{name}"] = scalar
                if scalar is value and type(name) is str and not prefix:
                    self._plain.add(name)
            elif isinstance(value, Mapping):
                self._gather(value, scalars, f"{prefix}{name}/")
