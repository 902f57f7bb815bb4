import math

import numpy as np
import pytest
import torch

from puffer_callbacks.ppo.loss import normalize_advantages, policy_loss, ppo_loss, value_loss


def test_policy_loss_by_hand():
    ratios, advantages = np.array([0.5, 1.0, 1.1, 1.5, 0.5, 1.5]), np.array([1.0, 2.0, 3.0, 1.0, -1.0, -1.0])
    clipped = np.array([0.8, 1.0, 1.1, 1.2, 0.8, 1.2])
    got = policy_loss(torch.tensor(np.log(ratios)), torch.tensor(advantages), clip_coef=0.2)
    terms = [0.5 * 1, 1.0 * 2, 1.1 * 3, 1.2 * 1, 0.8 * -1, 1.5 * -1]  # the smaller of plain and clipped
    np.testing.assert_allclose(terms, np.minimum(ratios * advantages, clipped * advantages))
    assert got["policy_loss"].item() == pytest.approx(-np.mean(terms))
    assert got["approx_kl"].item() == pytest.approx(np.mean(ratios - 1 - np.log(ratios)))
    assert got["clip_fraction"].item() == pytest.approx(4 / 6)


def test_policy_gradient_stops_where_the_ratio_has_gone_far_enough():
    log_ratio = torch.tensor([0.5, -0.5, 0.5, -0.5], requires_grad=True)
    policy_loss(log_ratio, torch.tensor([1.0, 1.0, -1.0, -1.0]), clip_coef=0.2)["policy_loss"].backward()
    assert (log_ratio.grad != 0).tolist() == [False, True, True, False]


def test_value_loss_by_hand():
    values, old, returns = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0]), torch.tensor([4.0, 0.0])
    assert value_loss(values, returns, old).item() == pytest.approx(0.5 * (1 + 1) / 2)
    # clipped to [1.5, 1.0]: errors of 2.5 and 1, each larger than or as large as the plain one
    assert value_loss(values, returns, old, clip=0.5).item() == pytest.approx(0.5 * (2.5**2 + 1) / 2)


def test_advantages_are_normalized_and_a_single_one_is_left():
    got = normalize_advantages(torch.tensor([1.0, 2.0, 6.0]))
    assert got.mean().item() == pytest.approx(0, abs=1e-6)
    assert got.std().item() == pytest.approx(1, rel=1e-6)
    assert normalize_advantages(torch.tensor([7.0])).item() == 7.0
    assert normalize_advantages(torch.tensor([2.0, 2.0])).tolist() == [0.0, 0.0]


def test_the_whole_loss_by_hand():
    batch = {
        "log_probs": torch.log(torch.tensor([0.5, 0.5])),
        "advantages": torch.tensor([1.0, -1.0]),
        "values": torch.tensor([0.0, 0.0]),
        "returns": torch.tensor([1.0, 2.0]),
    }
    log_probs = torch.log(torch.tensor([0.55, 0.2])).requires_grad_()
    entropy, values = torch.tensor([0.6, 0.4]), torch.tensor([0.5, 1.0])
    config = {"clip_coef": 0.2, "clip_vloss": False, "norm_adv": False, "ent_coef": 0.1, "vf_coef": 0.5}
    got = ppo_loss(log_probs, entropy, values, batch, **config)
    policy = -(1.1 * 1 + 0.8 * -1) / 2
    value = 0.5 * (0.25 + 1) / 2
    assert got["loss"].item() == pytest.approx(policy + 0.5 * value - 0.1 * 0.5)
    parts = {"policy_loss": policy, "value_loss": value, "entropy": 0.5, "clip_fraction": 0.5}
    assert {name: got[name].item() for name in parts} == pytest.approx(parts)
    assert got["loss"].requires_grad and not any(got[name].requires_grad for name in got if name != "loss")
    assert all(metric.ndim == 0 for metric in got.values())


def test_the_loss_with_clipped_values_and_normalized_advantages_by_hand():
    batch = {
        "log_probs": torch.log(torch.tensor([0.5, 0.5])),
        "advantages": torch.tensor([3.0, 1.0]),
        "values": torch.tensor([0.0, 0.0]),
        "returns": torch.tensor([1.0, 2.0]),
    }
    log_probs, entropy, values = torch.log(torch.tensor([0.55, 0.2])), torch.zeros(2), torch.tensor([0.5, 1.0])
    config = {"clip_coef": 0.2, "clip_vloss": True, "norm_adv": True, "ent_coef": 0.0, "vf_coef": 1.0}
    got = ppo_loss(log_probs, entropy, values, batch, **config)
    policy = -(1.1 - 0.8) / 2 / math.sqrt(2)  # advantages of ±1/√2
    value = 0.5 * (0.8**2 + 1.8**2) / 2  # estimates moved to 0.2 at most
    assert got["policy_loss"].item() == pytest.approx(policy)
    assert got["value_loss"].item() == pytest.approx(value)
    assert got["loss"].item() == pytest.approx(policy + value)
