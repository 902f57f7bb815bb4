"""Activations of a model, from one forward pass."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from puffer_callbacks.measure.forward_pass.batches import on_device
from puffer_callbacks.measure.forward_pass.call import forward
from puffer_callbacks.measure.parameter_names import plain_name


def activations(
    module: nn.Module, batch: Any, *, of: Callable[[nn.Module], bool] = lambda part: True
) -> dict[str, Tensor]:
    """The last output of every leaf module, by name.

    Call it within ``puffer_callbacks.measure.forward_pass.isolation.isolated``, so that the pass leaves nothing behind.

    Args:
        module: any module.
        batch: as for ``puffer_callbacks.measure.forward_pass.call.forward``.
        of: whether the output of a leaf module is wanted.

    Raises:
        ValueError: if the forward pass fails with the batch.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> [(name, tuple(output.shape)) for name, output in activations(net, torch.zeros(5, 2)).items()]
        [('0', (5, 3)), ('1', (5, 3))]
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, _: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[plain_name(name)] = output.detach()

    leaves = [(name, part) for name, part in module.named_modules() if next(part.children(), None) is None]
    handles = [part.register_forward_hook(partial(keep, name)) for name, part in leaves if of(part)]
    try:
        forward(module, on_device(batch, module))
    finally:
        for handle in handles:
            handle.remove()
    return outputs
