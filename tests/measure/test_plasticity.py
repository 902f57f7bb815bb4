"""Plasticity, against NumPy and SciPy."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from puffer_callbacks.measure.layer_plasticity import layer_plasticity, weight_norms
from puffer_callbacks.measure.plasticity import dormant_ratio, effective_rank, feature_norm, saturated_ratio


def _activations(seed: int, dead: int) -> torch.Tensor:
    activations = torch.randn(64, 16, generator=torch.Generator().manual_seed(seed)).relu()
    activations[:, :dead] *= 1e-3
    return activations


@pytest.mark.parametrize(("seed", "dead"), [(0, 0), (1, 3), (2, 16)])
def test_dormant_ratio_is_sokars_definition(seed: int, dead: int) -> None:
    activations = _activations(seed, dead)
    mean_abs = np.abs(activations.numpy().astype(np.float64)).mean(0)
    scores = mean_abs / mean_abs.mean()
    assert dormant_ratio(activations) == pytest.approx((scores <= 0.025).mean())
    assert dormant_ratio(activations, threshold=0.5) == pytest.approx((scores <= 0.5).mean())


def test_layer_without_any_activity_is_dormant() -> None:
    assert dormant_ratio(torch.zeros(4, 3)) == 1.0


@pytest.mark.parametrize("rank", [1, 4, 12])
def test_effective_rank_is_kumars_definition(rank: int) -> None:
    rng = np.random.default_rng(rank)
    features = rng.normal(size=(50, rank)) @ rng.normal(size=(rank, 20)) + 1e-4 * rng.normal(size=(50, 20))
    singular_values = scipy.linalg.svdvals(features)
    shares = np.cumsum(singular_values) / singular_values.sum()
    assert effective_rank(torch.from_numpy(features)) == int(np.argmax(shares >= 0.99)) + 1


def test_of_two_hundred_equal_directions_two_may_be_left_out() -> None:
    assert effective_rank(torch.eye(200)) == 198


def test_activations_of_half_precision_do_not_overflow() -> None:
    assert dormant_ratio(torch.tensor([[100.0, 100.0, 1.0]]).half().expand(1000, 3)) == pytest.approx(1 / 3)


def test_effective_rank_of_nothing() -> None:
    assert effective_rank(torch.zeros(5, 3)) == 0


def test_effective_rank_is_never_above_that_of_the_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    assert {effective_rank(torch.randn(20, 10, generator=generator), delta=0.0) for _ in range(20)} == {10}


def test_feature_norm_is_the_mean_norm() -> None:
    features = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    assert feature_norm(features) == pytest.approx(float(np.linalg.norm(features.numpy(), axis=1).mean()), rel=1e-6)


def test_saturated_ratio_counts_activations() -> None:
    activations = torch.tensor([[-1.0, 0.5, 0.995], [0.0, 0.9, -0.999]])
    assert saturated_ratio(activations) == pytest.approx(3 / 6)


SATURATED = {
    nn.Tanh(): 0.5,
    nn.Softsign(): 0.0,
    nn.Sigmoid(): 0.5,
    nn.Hardsigmoid(): 0.5,
    nn.Hardtanh(-2.0, 0.15): 0.75,
    **dict.fromkeys((nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.Softmax(-1)), None),  # no bounds, or none to be away from
}


@pytest.mark.parametrize("layer", SATURATED, ids=str)
def test_layers_with_two_bounds_are_saturated_at_either(layer: nn.Module) -> None:
    inputs = torch.tensor([[-50.0, 0.1, 0.2, 50.0]])
    found = layer_plasticity(nn.Sequential(layer), inputs)
    assert found.get("plasticity/saturated_ratio/0") == SATURATED[layer]
    assert ("plasticity/saturated_ratio" in layer_plasticity(nn.Sequential(layer), inputs / 1000)) == (
        SATURATED[layer] is not None
    )


def test_weights_that_have_no_norm_cost_no_other() -> None:
    module = nn.Linear(2, 2, bias=False)
    module.packed = nn.Parameter(torch.ones(4, dtype=torch.uint8), requires_grad=False)
    module.eighths = nn.Parameter(torch.full((9,), 2.0).to(torch.float8_e4m3fn), requires_grad=False)
    module.spectrum = nn.Parameter(torch.full((100, 100), 3 + 4j))
    nn.init.constant_(module.weight, 1.0)
    found = weight_norms(nn.Sequential(module))
    assert found["plasticity/weight_norm/0"] == pytest.approx(math.sqrt(4 + 9 * 4 + 10_000 * 25))


class Transposes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)


@pytest.mark.parametrize(
    ("layers", "units"),
    [
        ((nn.Conv1d(2, 8, 3), nn.ReLU()), 1),
        ((nn.Conv1d(2, 8, 3), nn.BatchNorm1d(8), nn.MaxPool1d(2), nn.ReLU()), 1),
        ((nn.ConvTranspose1d(2, 8, 3), nn.ReLU()), 1),
        ((nn.Conv1d(2, 8, 3), Transposes(), nn.ReLU()), 2),  # [B, L, C]
        ((nn.Conv1d(2, 4, 3), Transposes(), nn.Linear(4, 8), nn.ReLU()), 2),
        ((Transposes(), nn.Linear(2, 8), nn.ReLU()), 2),
    ],
)
def test_the_units_of_a_one_dimensional_convolution_are_its_channels(layers: tuple[nn.Module, ...], units: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*layers).eval()
    with torch.no_grad():
        bias = next(part for part in reversed(layers) if hasattr(part, "bias")).bias
        bias[:3], bias[3:] = -100.0, 1.0  # three dead units
    batch = torch.randn(16, 2, 12)
    output = np.moveaxis(net(batch).detach().numpy().astype(np.float64), units, -1)
    mean_abs = np.abs(output).reshape(-1, 8).mean(0)
    expected = (mean_abs / mean_abs.mean() <= 0.025).mean()
    assert expected == 3 / 8
    assert layer_plasticity(net, batch)["plasticity/dormant_ratio"] == expected
