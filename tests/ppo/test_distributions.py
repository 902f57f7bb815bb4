import pytest
import torch
from torch import distributions

from puffer_callbacks.ppo.distributions import Categorical, DiagonalGaussian, MultiCategorical, gumbel_noise


def generator():
    return torch.Generator().manual_seed(0)


def test_categorical_agrees_with_torch():
    logits = torch.randn(7, 5, generator=generator())
    ours, theirs = Categorical(logits), distributions.Categorical(logits=logits)
    actions = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert ours.mode().equal(logits.argmax(-1))


def test_gumbel_noise_draws_each_choice_with_its_probability():
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    actions = Categorical(logits.expand(200_000, 4)).sample(gumbel_noise((200_000, 4), generator()))
    shares = actions.bincount(minlength=4) / 200_000
    torch.testing.assert_close(shares, logits.softmax(0), atol=5e-3, rtol=0)


def test_several_choices_are_independent():
    logits = torch.randn(7, 5, generator=generator())
    ours = MultiCategorical(logits, (2, 3))
    parts = [distributions.Categorical(logits=part) for part in (logits[:, :2], logits[:, 2:])]
    actions = ours.sample(gumbel_noise((7, 5), generator()))
    assert actions.shape == (7, 2) and ours.mode().shape == (7, 2)
    expected = sum(part.log_prob(actions[:, i]) for i, part in enumerate(parts))
    torch.testing.assert_close(ours.log_prob(actions), expected)
    torch.testing.assert_close(ours.entropy(), sum(part.entropy() for part in parts))


def test_gaussian_agrees_with_torch():
    mean, log_std = torch.randn(7, 3, generator=generator()), torch.tensor([-1.0, 0.0, 0.5])
    ours, theirs = DiagonalGaussian(mean, log_std), distributions.Normal(mean, log_std.exp())
    actions = ours.sample(torch.randn(7, 3, generator=generator()))
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions).sum(-1))
    torch.testing.assert_close(ours.entropy(), theirs.entropy().sum(-1))
    assert ours.mode() is mean
    noisy = DiagonalGaussian(mean[:1], log_std).sample(torch.randn(100_000, 3, generator=generator()))
    torch.testing.assert_close(noisy.mean(0), mean[0], atol=2e-2, rtol=0)
    torch.testing.assert_close(noisy.std(0), log_std.exp(), atol=2e-2, rtol=0)


@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_extreme_logits_stay_finite(extreme):
    head = Categorical(torch.tensor([[extreme, 0.0]]))
    assert head.entropy().isfinite().all() and head.log_prob(torch.tensor([0])).isfinite().all()
