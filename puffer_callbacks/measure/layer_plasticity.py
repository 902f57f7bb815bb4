"""Plasticity of every layer of a module, by one forward pass."""

from collections.abc import Collection, Iterator, Mapping
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from puffer_callbacks.measure.forward_pass.activations import activations
from puffer_callbacks.measure.gradients import module_norms
from puffer_callbacks.measure.norms import norms, total
from puffer_callbacks.measure.parameter_names import plain_name
from puffer_callbacks.measure.plasticity import dormant_ratio, effective_rank, feature_norm, saturated_ratio

_ACTIVATIONS = "torch.nn.modules.activation"
NAMES = ("dormant_ratio", "saturated_ratio", "feature_norm", "effective_rank")
_BOUNDS: dict[type[nn.Module], tuple[float, float]] = {
    **dict.fromkeys((nn.Tanh, nn.Softsign), (-1.0, 1.0)),
    **dict.fromkeys((nn.Sigmoid, nn.Hardsigmoid), (0.0, 1.0)),
}
_CONVOLUTIONS = (nn.Conv1d, nn.ConvTranspose1d)
_MIXING = (nn.Linear, *_CONVOLUTIONS)
"""Layers after which other units follow: in three dimensions the last are units, after a convolution the second."""
_MAX_UNITS = 4096
"""Units of a layer up to which its rank is measured: the time of a decomposition grows with their cube."""


def layer_plasticity(module: nn.Module, batch: Any, *, names: Collection[str] = NAMES) -> dict[str, float]:
    """``plasticity/<name>/<layer>`` of every activation layer that a forward pass reaches, and the mean over layers.

    Call it within ``puffer_callbacks.measure.forward_pass.isolation.isolated``, so that the pass leaves nothing behind.

    Args:
        module: any; where it has a ``policy`` that is a module, the policy alone is called.
        batch: as for ``puffer_callbacks.measure.forward_pass.call.forward``.
        names: what to measure; a rank takes longer than all the rest.

    Returns:
        ``dormant_ratio``; ``effective_rank`` and ``feature_norm`` of layers of vectors; ``saturated_ratio`` of layers
        with two bounds, as tanh and sigmoid have. Layers whose output is not finite are left out.

    Raises:
        ValueError: if the forward pass fails with the batch.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
        >>> sorted(layer_plasticity(net, torch.ones(8, 2)))[1:3]
        ['plasticity/dormant_ratio/1', 'plasticity/effective_rank']
    """
    policy, prefix = getattr(module, "policy", None), "policy."
    if not isinstance(policy, nn.Module):
        policy, prefix = module, ""
    values: dict[str, dict[str, float]] = {}
    parts = {plain_name(name): part for name, part in policy.named_modules()}
    outputs = activations(policy, batch, of=lambda part: _is_activation(part) or isinstance(part, _MIXING))
    for layer, output in _with_channels_apart(outputs, parts):
        for name, value in _of_layer(output, names, _bounds(parts[layer])).items():
            values.setdefault(name, {})[prefix + layer] = value
    means = {f"plasticity/{name}": fmean(each.values()) for name, each in values.items()}
    return means | {f"plasticity/{name}/{layer}": v for name, each in values.items() for layer, v in each.items()}


def _with_channels_apart(outputs: Mapping[str, Tensor], parts: Mapping[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    """The outputs of activation layers, [B, C, L, 1] where a one-dimensional convolution comes before: as pictures."""
    channels: tuple[int, ...] = ()
    for layer, output in outputs.items():
        if not _is_activation(parts[layer]):
            is_convolution = isinstance(parts[layer], _CONVOLUTIONS) and output.ndim == 3
            channels = tuple(output.shape[:2]) if is_convolution else ()
        else:
            has_channels = output.ndim == 3 and output.shape[:2] == channels
            yield layer, output.unsqueeze(-1) if has_channels else output


def _is_activation(part: nn.Module) -> bool:
    return type(part).__module__ == _ACTIVATIONS


def _bounds(part: nn.Module) -> tuple[float, float] | None:
    return (part.min_val, part.max_val) if type(part) is nn.Hardtanh else _BOUNDS.get(type(part))


def _of_layer(output: Tensor, names: Collection[str], bounds: tuple[float, float] | None) -> dict[str, float]:
    if output.ndim < 2 or not output.numel() or not output.isfinite().all():
        return {}
    if output.ndim > 3:  # channels of pictures are units, wherever they fire
        return {"dormant_ratio": dormant_ratio(output.movedim(1, -1))}
    found = {"dormant_ratio": dormant_ratio(output)}
    if "feature_norm" in names:
        found["feature_norm"] = feature_norm(output)
    if "effective_rank" in names and output.shape[-1] <= _MAX_UNITS:
        found["effective_rank"] = float(effective_rank(output))
    if "saturated_ratio" in names and bounds is not None:
        found["saturated_ratio"] = saturated_ratio(output, bounds=bounds)
    return found


def _has_norm(parameter: Tensor) -> bool:
    return (parameter.is_floating_point() or parameter.is_complex()) and not hasattr(parameter, "placements")


def weight_norms(module: nn.Module) -> dict[str, float]:
    """``plasticity/weight_norm`` of all weights, and ``plasticity/weight_norm/<module>`` of each module's own.

    Args:
        module: any; the shards of a ``DTensor`` are left out, and so are integers, as of quantized weights.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 1, bias=False))
        >>> _ = nn.init.constant_(net[0].weight, 2.0)
        >>> weight_norms(net)["plasticity/weight_norm/0"]
        2.8284270763397217
    """
    named = {plain_name(name): p.detach() for name, p in module.named_parameters() if _has_norm(p)}
    each = dict(zip(named, (norm.item() for norm in norms(named.values())), strict=True))
    modules = {f"plasticity/weight_norm/{name}": norm for name, norm in module_norms(each).items()}
    return {"plasticity/weight_norm": total(each.values()), **modules}
