"""Statistics of rollouts, against what they are made from."""

import dataclasses
import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn

from puffer_callbacks.health.statistics import Collector, rollout_statistics
from puffer_callbacks.health.statistics.weights import WeightTracker
from puffer_callbacks.ppo.advantages import generalized_advantages
from puffer_callbacks.rollout import Rollout

GAMMA, LAMBDA, T, N = 0.97, 0.9, 64, 4


def _rollout(**changes: Tensor) -> Rollout:
    """A rollout with correct advantages: rewards and values are random, episodes end now and then."""
    random = torch.Generator().manual_seed(3)
    rewards, values = torch.randn(T, N, generator=random), torch.randn(T, N, generator=random)
    dones = torch.rand(T, N, generator=random) < 0.1
    following = torch.cat([values[1:], torch.randn(1, N, generator=random)]).masked_fill(dones, 0.0)
    advantages = generalized_advantages(rewards, values, following, dones, gamma=GAMMA, gae_lambda=LAMBDA)
    rollout = Rollout(
        observations=torch.randn(T, N, 3, generator=random),
        actions=torch.randint(0, 3, (T, N), generator=random),
        rewards=rewards,
        dones=dones,
        values=values,
        log_probs=torch.full((T, N), math.log(1 / 3)),
        advantages=advantages,
        returns=advantages + values,
        action_space=spaces.Discrete(3),
    )
    return dataclasses.replace(rollout, **changes)


def test_correct_advantages_satisfy_the_recurrence() -> None:
    found = rollout_statistics(_rollout())
    assert found["diagnostics/advantage_fit"] == pytest.approx(1.0, abs=1e-6)
    assert found["diagnostics/advantage_sign"] == 1.0
    assert found["diagnostics/estimated_gamma"] == pytest.approx(GAMMA, abs=1e-4)
    assert found["diagnostics/leak_fraction"] == 0.0


def test_recurrence_holds_however_rewards_and_advantages_are_scaled() -> None:
    rollout = _rollout()
    assert rollout.advantages is not None
    scaled = dataclasses.replace(
        rollout, rewards=100 * rollout.rewards, advantages=(rollout.advantages - 1.5) / rollout.advantages.std()
    )
    found = rollout_statistics(scaled)
    assert found["diagnostics/advantage_fit"] == pytest.approx(1.0, abs=1e-6)
    assert found["diagnostics/advantage_sign"] == 1.0


def test_wrong_advantages_do_not() -> None:
    advantages = _rollout().advantages
    assert advantages is not None
    flipped = rollout_statistics(_rollout(advantages=-advantages))
    shuffled = rollout_statistics(_rollout(advantages=advantages.flip(0)))
    assert flipped["diagnostics/advantage_sign"] == -1.0
    assert shuffled["diagnostics/advantage_fit"] < 0.5


@pytest.mark.parametrize("steps", [2, 5, 8])
def test_advantages_of_n_steps_satisfy_a_recurrence_of_their_own(steps: int) -> None:
    """Each is the sum of n discounted rewards and γ^n V_{t+n} − V_t, or of those up to the end of its episode."""
    rollout = _rollout(dones=torch.arange(T)[:, None].expand(T, N) % 16 == 15)
    rewards, dones = rollout.rewards, rollout.dones
    assert rewards is not None and dones is not None and rollout.values is not None
    values = torch.cat([rollout.values, torch.zeros(1, N)])
    advantages = -values[:T].clone()
    for t in range(T):
        alive, last = torch.ones(N), min(t + steps, T)
        for at in range(t, last):
            advantages[t] += GAMMA ** (at - t) * alive * rewards[at]
            alive = alive * ~dones[at]
        advantages[t] += GAMMA ** (last - t) * alive * values[last]
    fits = [
        rollout_statistics(dataclasses.replace(rollout, advantages=each))["diagnostics/advantage_fit"]
        for each in (advantages, 3 * advantages - 1, -advantages, advantages.roll(-1, 0), advantages.flip(0))
    ]
    assert fits[:2] == pytest.approx([1.0, 1.0], abs=1e-6)
    assert max(fits[2:]) < 0.9


def test_advantages_that_run_on_over_ends_leak() -> None:
    rollout = _rollout()
    assert rollout.values is not None
    following = torch.cat([rollout.values[1:], torch.zeros(1, N)])
    never = torch.zeros(T, N, dtype=torch.bool)
    leaking = generalized_advantages(rollout.rewards, rollout.values, following, never, gamma=GAMMA, gae_lambda=LAMBDA)
    assert rollout_statistics(_rollout(advantages=leaking))["diagnostics/leak_fraction"] > 0.8


def test_observations() -> None:
    constant = rollout_statistics(_rollout(observations=torch.ones(T, N, 3)))
    assert constant["diagnostics/observation_constant_fraction"] == 1.0
    assert constant["diagnostics/observation_repeat_fraction"] == 1.0
    large = rollout_statistics(_rollout(observations=300 * torch.ones(T, N, 3)))
    assert large["diagnostics/observation_scale"] == pytest.approx(300.0)


def _walk(*, late: int, rewards: torch.Tensor | None = None) -> Rollout:
    """Observations that count the steps of an episode, shown ``late`` steps late."""
    dones = torch.zeros(T, N, dtype=torch.bool)
    dones[9::10] = True
    position = (torch.arange(T) % 10).double().view(T, 1, 1).expand(T, N, 1)
    rewards = torch.ones(T, N) if rewards is None else rewards
    return _rollout(dones=dones, rewards=rewards, observations=position.roll(late, 0).contiguous())


def test_reset_delay() -> None:
    assert rollout_statistics(_walk(late=0))["diagnostics/reset_delay_fraction"] == 0.0
    assert rollout_statistics(_walk(late=1))["diagnostics/reset_delay_fraction"] == 1.0


def test_a_reset_step_is_no_delay() -> None:
    """CartPole pays 1 at every step; one that only resets pays 0, whoever's autoreset it is."""
    rewards = torch.ones(T, N)
    rewards[10::10] = 0
    statistics = rollout_statistics(_walk(late=1, rewards=rewards))
    assert statistics["diagnostics/reset_delay_fraction"] == 0.0
    assert statistics["diagnostics/reset_step_fraction"] == 1.0


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_reset_steps_of_gymnasiums_own_autoreset(mode: AutoresetMode) -> None:
    envs = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2, autoreset_mode=mode)
    observations, rewards, dones = [envs.reset(seed=1)[0]], [], []
    for _ in range(T):
        if mode == AutoresetMode.DISABLED and dones and dones[-1].any():
            observations[-1], _ = envs.reset(options={"reset_mask": dones[-1]})
        following, reward, terminated, truncated, _ = envs.step(np.ones(2, np.int64))
        observations.append(following.copy())
        rewards.append(reward)
        dones.append(terminated | truncated)
    rollout = Rollout(
        observations=torch.tensor(np.stack(observations[:-1])),
        rewards=torch.tensor(np.stack(rewards)),
        dones=torch.tensor(np.stack(dones)),
    )
    statistics = rollout_statistics(rollout)
    assert statistics["diagnostics/reset_delay_fraction"] == 0.0
    assert statistics["diagnostics/reset_step_fraction"] == (mode == AutoresetMode.NEXT_STEP)


def test_actions() -> None:
    actions = torch.zeros(T, N, dtype=torch.long)
    actions[: T // 4] = 2
    found = rollout_statistics(_rollout(actions=actions))
    assert found["diagnostics/dominant_action_fraction"] == 0.75
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(3)
    assert found["diagnostics/action_entropy"] == pytest.approx(entropy)
    assert found["diagnostics/max_probability"] == pytest.approx(1 / 3)
    box = spaces.Box(np.float32(-2), np.float32(2), (1,))
    bounded = rollout_statistics(dataclasses.replace(_rollout(), actions=torch.full((T, N, 1), 2.5), action_space=box))
    assert bounded["diagnostics/saturated_action_fraction"] == 1.0


def test_scales_spreads_and_shares_agree_with_numpy() -> None:
    rollout = dataclasses.replace(_rollout(), episode_lengths=torch.tensor([10, 20, 21, 5]))
    rollout = dataclasses.replace(rollout, rewards=rollout.rewards * (torch.arange(T)[:, None] % 4 == 0))  # type: ignore[operator]
    rewards, values, returns, advantages, dones = (
        getattr(rollout, name).double().numpy() for name in ("rewards", "values", "returns", "advantages", "dones")
    )
    expected = {
        "reward_scale": np.sqrt((rewards**2).mean()),
        "nonzero_reward_fraction": 0.25,
        "return_std": returns.std(),
        "value_std": values.std(),
        "advantage_std": advantages.std(),
        "value_error": np.sqrt(((returns - values) ** 2).mean() / (returns**2).mean()),
        "done_fraction": dones.mean(),
        "time_limit_fraction": 0.5,
    }
    found = rollout_statistics(rollout, max_episode_steps=20)
    assert {name: found[f"diagnostics/{name}"] for name in expected} == pytest.approx(expected)
    assert "diagnostics/time_limit_fraction" not in rollout_statistics(rollout)


def test_bounded_actions_by_hand() -> None:
    """In units of half the range about its middle the first is −1, 1, 0, 0, and the second lies at or beyond 1."""
    actions = torch.tensor([[[0.0, 1.0], [4.0, 1.5]], [[2.0, 1.0], [2.0, 9.0]]])
    box = spaces.Box(np.float32([0, -1]), np.float32([4, 1]))
    found = rollout_statistics(Rollout(actions=actions, action_space=box))
    assert found["diagnostics/saturated_action_fraction"] == 6 / 8
    assert found["diagnostics/action_spread"] == pytest.approx((math.sqrt(0.5) + 0) / 2)


@pytest.mark.parametrize(("low", "high"), [(0.0, np.inf), (-np.inf, 0.0)])
def test_actions_with_one_bound_are_no_shares_of_a_range(low: float, high: float) -> None:
    box = spaces.Box(np.float32([low, -1]), np.float32([high, 1]))
    assert rollout_statistics(Rollout(actions=torch.zeros(8, 1, 2), action_space=box)) == {}


@pytest.mark.parametrize("handed_on", [0, 5])
def test_choices_are_counted_from_the_space_s_start_or_from_0(handed_on: int) -> None:
    """Some policies count from 0 and shift what they hand on."""
    actions = torch.tensor([[0, 1], [1, 1]]) + handed_on
    found = rollout_statistics(Rollout(actions=actions, action_space=spaces.Discrete(4, start=5)))
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(4)
    assert found == {
        "diagnostics/dominant_action_fraction": 0.75,
        "diagnostics/action_entropy": pytest.approx(entropy),
    }


def test_a_single_choice_has_no_entropy_and_impossible_ones_no_probability() -> None:
    log_probs = torch.full((64, 2), -math.inf)
    rollout = Rollout(actions=torch.zeros(64, 2), log_probs=log_probs, entropy=torch.ones(64, 2))
    found = rollout_statistics(dataclasses.replace(rollout, action_space=spaces.Discrete(1)))
    assert found == {"diagnostics/dominant_action_fraction": 1.0, "nonfinite/rollout/log_probs": 128.0}


def test_nonfinite_values_are_counted_field_by_field() -> None:
    observations = torch.randn(T, N, 3)
    observations[3, 1, 2] = torch.nan
    found = rollout_statistics(_rollout(observations=observations))
    assert {tag: value for tag, value in found.items() if tag.startswith("nonfinite/")} == {
        "nonfinite/rollout/observations": 1.0
    }


class _Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(3))

    def evaluate_actions(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, None]:
        log_probs = self.logits.log_softmax(-1)[actions]
        return torch.zeros(len(actions)), log_probs, None


def test_collector_compares_log_probabilities_before_and_after_an_update() -> None:
    policy, collector, rollout = _Policy(), Collector(), _rollout()
    first = collector.add_rollout(rollout, module=policy, parameters=policy.named_parameters())
    assert first["diagnostics/log_prob_error"] == pytest.approx(0.0, abs=1e-6)
    assert rollout.advantages is not None
    means = torch.stack([rollout.advantages[rollout.actions == action].mean() for action in range(3)])
    with torch.no_grad():
        policy.logits += means  # towards the actions with the higher advantage
    second = collector.add_rollout(_rollout(observations=torch.randn(T, N, 3)), module=policy,
                                   parameters=policy.named_parameters())  # fmt: skip
    moved = policy.logits.detach().log_softmax(-1)[rollout.actions].flatten() - math.log(1 / 3)
    expected = np.corrcoef(moved.numpy(), rollout.advantages.flatten().numpy())[0, 1]
    assert second["diagnostics/advantage_alignment"] == pytest.approx(expected, abs=1e-5)
    assert second["diagnostics/advantage_alignment"] > 0
    assert second["diagnostics/log_prob_error"] > 0.01  # the stored ones are stale now
    assert second["diagnostics/repeated_rollout"] == 0.0


def test_a_policy_is_asked_in_eval_mode_and_each_part_of_it_left_in_its_own() -> None:
    rollout, policy = _rollout(), nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(3), nn.Linear(3, 3))
    policy[2].eval()  # as where a part is frozen
    with torch.no_grad():
        logits = nn.Sequential(policy[0], policy[2], policy[3])(rollout.observations.reshape(-1, 3))  # type: ignore[union-attr]
    log_probs = logits.log_softmax(-1).gather(-1, rollout.actions.reshape(-1, 1)).view(T, N)  # type: ignore[union-attr]
    found = Collector().add_rollout(dataclasses.replace(rollout, log_probs=log_probs), module=policy)
    assert found["diagnostics/log_prob_error"] == pytest.approx(0.0, abs=1e-6)
    assert [part.training for part in policy] == [True, True, False, True]


class _MaskedPolicy(_Policy):
    def evaluate_actions(
        self, observations: Tensor, actions: Tensor, action_masks: Tensor | None = None
    ) -> tuple[Tensor, Tensor, None]:
        return super().evaluate_actions(observations, actions)


def test_a_policy_that_masks_actions_is_not_asked_without_the_masks() -> None:
    collector, rollout = Collector(), _rollout()
    for _ in range(2):
        found = collector.add_rollout(rollout, module=_MaskedPolicy())
        assert not found.keys() & {"diagnostics/log_prob_error", "diagnostics/advantage_alignment"}


def test_pictures_in_bytes_have_no_scale() -> None:
    pictures = torch.randint(0, 256, (T, N, 3, 8, 8))
    assert "diagnostics/observation_scale" not in rollout_statistics(_rollout(observations=pictures.to(torch.uint8)))
    assert rollout_statistics(_rollout(observations=pictures.float()))["diagnostics/observation_scale"] > 100


LOSSES = {
    "half": (lambda v, r: 0.5 * (v - r).square().mean(), 1),
    "whole": (lambda v, r: (v - r).square().mean(), 1),
    "half, broadcast": (lambda v, r: 0.5 * (v[:, None] - r).square().mean(), 0),
    "whole, broadcast": (lambda v, r: torch.nn.functional.mse_loss(*torch.broadcast_tensors(v[:, None], r)), 0),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("in_batches", [True, False])
def test_collector_sees_whether_the_value_loss_pairs_values_with_their_returns(name: str, in_batches: bool) -> None:
    """By the first minibatch where it is known, or by the rollout that an update of one step learns from."""
    (loss, expected), collector, rollout = LOSSES[name], Collector(), _rollout()
    values, returns = rollout.values.flatten(), rollout.returns.flatten()  # type: ignore[union-attr]
    collector.add_rollout(rollout)
    for part in range(4 if in_batches else 1):
        at = slice(part * 64, part * 64 + 64) if in_batches else slice(None)
        batch = {"values": values[at], "returns": returns[at, None]} if in_batches else None
        collector.add_step({"value_loss": loss(values[at], returns[at]) + 10.0 * part}, batch)
    assert collector.finish_update()["diagnostics/value_pairing"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("size", "expected"), [(1.0, [1.0]), (1e4, [])])
def test_a_critic_that_is_near_its_targets_is_judged_where_rounding_allows_it(
    size: float, expected: list[float]
) -> None:
    collector, random = Collector(), torch.Generator().manual_seed(5)
    returns = size + 0.01 * torch.randn(T, N, generator=random)
    values = returns + 0.001 * torch.randn(T, N, generator=random)
    collector.add_rollout(_rollout(values=values, returns=returns))
    again = values * (1 + 5e-7 * torch.randn(T, N, generator=random))  # as a batch of another size has them
    collector.add_step({"value_loss": (again - returns).square().mean()})
    found = collector.finish_update()
    weights = [found[tag] for tag in found if tag == "diagnostics/value_pairing"]
    assert weights == pytest.approx(expected, abs=5e-3)


def test_collector_sees_how_far_an_update_moved_the_policy_and_its_largest_loss() -> None:
    module, collector = _Gaussian(), Collector()
    rollout = _rollout(
        observations=torch.zeros(T, N, 1), actions=torch.ones(T, N, 1), log_probs=module.at_1().expand(T, N)
    )
    collector.add_rollout(rollout, module=module)
    before = module.at_1()
    module.mean.data += 0.5
    for loss in (0.0, torch.tensor(-0.25), 0.125):
        collector.add_step({"policy_loss": loss})
    found = collector.finish_update(module=module)
    assert found["diagnostics/log_prob_change"] == pytest.approx(float((module.at_1() - before).abs()))
    assert found["diagnostics/largest_policy_loss"] == 0.25
    largest = []
    for losses in ([], [1.0], [1.0, -2.0]):  # at the first minibatch it may be 0
        collector.add_rollout(rollout, module=module)
        for loss in losses:
            collector.add_step({"policy_loss": loss})
        found = collector.finish_update()
        assert found.get("diagnostics/training_steps") == (len(losses) or None)
        largest.append(found.get("diagnostics/largest_policy_loss"))
    assert largest == [None, None, 2.0]


class _Gaussian(nn.Module):
    """A normal policy of one mean."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1))

    def forward(self, observations: Tensor) -> tuple[torch.distributions.Normal]:
        return (torch.distributions.Normal(self.mean.expand(len(observations), 1), 1.0),)

    def at_1(self) -> Tensor:
        """The log-probability of 1."""
        return torch.distributions.Normal(self.mean, 1.0).log_prob(torch.ones(1)).detach()


def test_a_value_loss_of_unknown_minibatches_is_not_judged() -> None:
    collector, rollout = Collector(), _rollout()
    collector.add_rollout(rollout)
    for _ in range(2):
        collector.add_step({"value_loss": torch.tensor(1.0)})
    assert "diagnostics/value_pairing" not in collector.finish_update()
    constant = torch.zeros(T, N)
    collector.add_rollout(_rollout(values=constant, returns=constant))
    collector.add_step({"value_loss": torch.tensor(0.0)})
    assert "diagnostics/value_pairing" not in collector.finish_update()


def test_collector_sees_the_first_minibatch_of_each_rollout() -> None:
    collector = Collector()
    collector.add_rollout(_rollout())
    for kl in (0.25, 0.5):
        collector.add_step({"approx_kl": kl, "clip_fraction": 0.0}, {"returns": torch.ones(64) * kl})
    found = collector.add_rollout(_rollout())
    assert found["diagnostics/first_kl"] == 0.25
    assert found["diagnostics/batch_coverage"] == 128 / (T * N)
    assert found["diagnostics/repeated_rollout"] == 1.0


def test_metrics_whose_memory_is_used_again_are_those_of_their_step() -> None:
    """As the outputs of a CUDA graph are, of ``torch.compile(mode="reduce-overhead")``."""
    collector, rollout, metrics = Collector(), _rollout(), torch.zeros(3)
    collector.add_rollout(rollout)
    assert rollout.returns is not None and rollout.values is not None
    value_loss = float(((rollout.returns - rollout.values) ** 2).mean())
    for step in ((0.0, 0.75, value_loss), (0.5, 0.25, 9.0)):
        metrics.copy_(torch.tensor(step))
        named = dict(zip(("approx_kl", "policy_loss", "value_loss"), metrics, strict=True))
        collector.add_step(named, {"values": rollout.values, "returns": rollout.returns})
    found = collector.add_rollout(_rollout())
    assert (found["diagnostics/first_kl"], found["diagnostics/first_policy_loss"]) == (0.0, 0.75)
    assert found["diagnostics/largest_policy_loss"] == 0.75
    assert found["diagnostics/value_pairing"] == pytest.approx(1.0, abs=1e-3)


def test_log_probabilities_of_a_policy_that_sees_and_of_one_that_does_not() -> None:
    """Actions a = m + σ z of a normal policy, with means m and noise z both standard normal, in two dimensions.

    Given a, z is normal with variance s = 1 / (1 + σ²) and a mean whose square is σ² / (1 + σ²) in the mean. What is
    left of log p = −z² / 2 + c is Var(z² | a) / 4 = (2 s² + 4 s σ² / (1 + σ²)) / 4 in each dimension.
    """
    sigma, shape = 0.7, (T, 128, 2)
    random = torch.Generator().manual_seed(5)
    means, noise = torch.randn(shape, generator=random), torch.randn(shape, generator=random)
    s, share = 1 / (1 + sigma**2), sigma**2 / (1 + sigma**2)
    expected = math.sqrt(2 * (2 * s**2 + 4 * s * share) / 4)
    spreads = []
    for mean in (torch.zeros(shape), means):
        actions = mean + sigma * noise
        log_probs = torch.distributions.Normal(mean, sigma).log_prob(actions).sum(-1)
        rollout = Rollout(actions=actions, log_probs=log_probs, action_space=spaces.Box(-9, 9, (2,)))
        spreads.append(rollout_statistics(rollout)["diagnostics/log_prob_spread"])
    assert spreads[0] < 1e-5
    assert spreads[1] == pytest.approx(expected, rel=0.03)


def test_a_rollout_of_any_fields_gives_what_they_allow() -> None:
    full = _rollout()
    for field in dataclasses.fields(full):
        if isinstance(getattr(full, field.name), Tensor):
            alone = Rollout(**{field.name: getattr(full, field.name)}, action_space=full.action_space)
            assert Collector().add_rollout(alone)["diagnostics/repeated_rollout"] == 0.0
            without = dataclasses.replace(full, **{field.name: None})
            assert rollout_statistics(without).keys() < rollout_statistics(full).keys(), field.name
    assert rollout_statistics(Rollout(episode_returns=torch.ones(2))) == {}


def test_a_rollout_of_one_step_gives_what_it_allows() -> None:
    full = _rollout()
    one = {field.name: getattr(full, field.name) for field in dataclasses.fields(full)}
    one = {name: value[:1] if isinstance(value, Tensor) else value for name, value in one.items()}
    found = rollout_statistics(Rollout(**one))
    assert found["diagnostics/reward_scale"] == pytest.approx(float(one["rewards"].square().mean().sqrt()))
    assert not [tag for tag in found if "observation" in tag or ("advantage_" in tag and tag[-4:] != "_std")]


def test_one_number_that_is_not_finite_leaves_the_recurrence_unjudged() -> None:
    """The first advantage is only explained, the last one only explains."""
    for row in (0, T - 1):
        rollout = _rollout()
        assert rollout.advantages is not None
        rollout.advantages[row, 0] = torch.nan
        found = rollout_statistics(rollout)
        assert "diagnostics/advantage_fit" not in found and "diagnostics/value_error" in found


@pytest.mark.parametrize("largest", [1e160, 1e300, -1.7e308, 1e-310, math.inf])
@pytest.mark.parametrize("spread", [False, True])
def test_numbers_at_the_ends_of_float64_give_finite_statistics_without_a_warning(largest: float, spread: bool) -> None:
    torch.manual_seed(0)
    numbers = largest * (torch.rand(16, 4).double() if spread else torch.ones(16, 4).double())
    dones = torch.zeros(16, 4, dtype=torch.bool)
    dones[5] = True
    same = dict.fromkeys(("actions", "rewards", "values", "log_probs", "advantages", "returns"), numbers)
    rollout, collector = Rollout(numbers[..., None].expand(16, 4, 3), **same, dones=dones), Collector()
    found = collector.add_rollout(rollout, parameters=[("weight", numbers)])
    found |= collector.add_rollout(rollout, parameters=[("weight", -numbers)])
    assert found["diagnostics/done_fraction"] == 1 / 16
    weights = {tag for tag in found if "weight" in tag}
    assert all(math.isfinite(value) for tag, value in found.items() if tag not in weights)


def test_weight_changes_are_those_of_modules_with_the_same_parameters() -> None:
    tracker, rng = WeightTracker(), np.random.default_rng(0)
    weight, bias = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=3).astype(np.float32)

    def update(**parameters: np.ndarray) -> dict[str, float]:
        return tracker.update([(name.replace("_", "."), torch.from_numpy(value)) for name, value in parameters.items()])

    assert update(a_weight=weight, a_bias=bias) == {
        "diagnostics/weight_norm/a": pytest.approx(np.sqrt((weight**2).sum() + (bias**2).sum()))
    }
    found = update(a_weight=weight + 1, a_bias=bias, b_weight=weight)
    expected = np.sqrt(12) / np.sqrt((weight**2).sum() + (bias**2).sum())
    assert found["diagnostics/weight_change/a"] == pytest.approx(expected)
    assert "diagnostics/weight_change/b" not in found
    found = update(a_weight=weight + 1, a_bias=np.ones(5, np.float32), b_weight=weight)
    assert "diagnostics/weight_change/a" not in found and found["diagnostics/weight_change/b"] == 0.0
    assert tracker.update([]) == {}


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_states_of_a_table_jump_nowhere(mode: AutoresetMode) -> None:
    """FrozenLake one-hot: a step to the next cell is as large as one to the first."""
    envs = SyncVectorEnv([lambda: gymnasium.make("FrozenLake-v1")] * 8, autoreset_mode=mode)
    envs.action_space.seed(1)
    states, rewards, dones = [envs.reset(seed=1)[0]], [], []
    for _ in range(256):
        state, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
        states.append(state)
        rewards.append(torch.tensor(reward))
        dones.append(torch.tensor(terminated | truncated))
    observations = torch.nn.functional.one_hot(torch.tensor(np.stack(states[:-1])), 16).float()
    statistics = rollout_statistics(Rollout(observations, rewards=torch.stack(rewards), dones=torch.stack(dones)))
    assert not [tag for tag in statistics if tag.startswith("diagnostics/reset_")]


def test_actions_that_are_drawn_and_the_likeliest_ones() -> None:
    torch.manual_seed(1)
    policy = torch.distributions.Categorical(logits=torch.randn(128, 4, 3))
    for actions, is_biased in ((policy.sample(), False), (policy.probs.argmax(-1), True)):
        rollout = Rollout(
            actions=actions,
            log_probs=policy.log_prob(actions),
            entropy=policy.entropy(),
            action_space=gymnasium.spaces.Discrete(3),
        )
        assert (rollout_statistics(rollout)["diagnostics/sampling_bias"] > 0.05) == is_biased
