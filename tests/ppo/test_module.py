import gymnasium
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from gymnasium import spaces

from puffer_callbacks.ppo import PPO
from puffer_callbacks.rollout import Rollout
from tests.ppo.environments import Counter, Rooms, Unseeable, registered

SMALL = {"num_envs": 2, "num_steps": 32, "batch_size": 16, "update_epochs": 2, "total_timesteps": 192}
PER_STEP = {"rewards", "dones", "values", "log_probs", "advantages", "returns", "entropy"}


class Watch(pl.Callback):
    """Keeps what the module gives to callbacks."""

    def __init__(self):
        self.rollouts: list[Rollout] = []
        self.rates: list[float] = []
        self.outputs: list[dict[str, torch.Tensor]] = []

    def on_rollout_end(self, trainer, pl_module, rollout):
        self.rollouts.append(rollout)
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.outputs.append(outputs)


@pytest.fixture
def fit(quiet_trainer):
    def fit(module, *, trainer=None, **arguments):
        watch = Watch()
        quiet_trainer(callbacks=[watch], max_epochs=-1, **(trainer or {})).fit(module, **arguments)
        return watch

    return fit


def parameters(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_it_stops_at_total_timesteps_and_counts_them(fit):
    module = PPO("CartPole", **SMALL)
    watch = fit(module)
    assert module.env_steps == 192 and module.num_rollouts == 3
    assert [rollout.env_steps for rollout in watch.rollouts] == [64, 128, 192]
    assert len(watch.outputs) == 3 * 2 * 4


def test_the_budget_is_not_exceeded_but_one_rollout_is_collected(fit):
    assert PPO("CartPole", **{**SMALL, "total_timesteps": 191}).num_rollouts == 2
    module = PPO("CartPole", **{**SMALL, "total_timesteps": 5})
    fit(module)
    assert module.env_steps == 64


def test_a_rollout_is_complete(fit):
    rollout = fit(PPO("CartPole", **SMALL)).rollouts[-1]
    assert rollout.observations.shape == (32, 2, 4) and rollout.actions.shape == (32, 2)
    for name in PER_STEP:
        field = getattr(rollout, name)
        assert field.shape == (32, 2) and field.isfinite().all(), name
    assert rollout.rewards.unique().tolist() == [1.0]
    assert rollout.action_space == spaces.Discrete(2)
    assert len(rollout.episode_returns) == rollout.dones.sum() > 0
    assert rollout.episode_returns.equal(rollout.episode_lengths.double())


def test_a_training_step_gives_scalars_without_a_graph(fit):
    outputs = fit(PPO("CartPole", **SMALL)).outputs[0]
    parts = {"policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "learning_rate"}
    assert outputs.keys() == {"loss", *parts}
    assert all(value.ndim == 0 and not value.requires_grad for value in outputs.values())


@pytest.mark.parametrize(
    ("env_id", "more"),
    [
        ("Pendulum", {}),
        ("Pendulum", {"norm_obs": True, "norm_reward": True, "clip_vloss": True, "norm_adv": False}),
        ("Acrobot", {"activation": "relu", "hidden_sizes": [16], "max_grad_norm": None, "anneal_lr": False}),
        ("FrozenLake", {"norm_obs": True}),
        ("Taxi", {"batch_size": 63}),  # which leaves one step for the last minibatch
    ],
)
def test_it_trains_on(fit, env_id, more):
    module = PPO(env_id, **{**SMALL, **more})
    before = parameters(module)
    fit(module)
    assert parameters(module).isfinite().all() and not parameters(module).equal(before)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
@pytest.mark.parametrize("env_id", ["CartPole", "Pendulum"])
def test_it_trains_in_other_precisions(fit, env_id, precision):
    module = PPO(env_id, **SMALL, norm_reward=True)
    fit(module, trainer={"precision": precision})
    assert parameters(module).isfinite().all()


@pytest.mark.parametrize(
    "action_space",
    [
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([2, 4]),
        spaces.MultiDiscrete([2, 4], start=[3, 0]),
        spaces.Box(-0.01, 0.01, (2,)),
    ],
)
def test_only_legal_actions_reach_the_environment(fit, action_space):
    with registered("Counter-v0", Counter, kwargs={"action_space": action_space, "length": 9}):
        module = PPO("Counter", **SMALL)
        rollout = fit(module).rollouts[0]  # the environment asserts
        assert rollout.actions.shape == (32, 2, *action_space.shape)
        assert all(action_space.contains(action) for action in module.act(np.zeros((5, 1), np.float32)))


def test_observations_that_are_choices(fit):
    with registered("Rooms-v0", Rooms):
        rollout = fit(PPO("Rooms", **SMALL)).rollouts[0]
    assert rollout.observations[:5, 0].tolist() == [3, 4, 5, 6, 3]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Tuple((spaces.Discrete(3), spaces.Discrete(2))),
        spaces.Dict({"place": spaces.Box(-1, 1, (2,)), "room": spaces.Discrete(3)}),
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiBinary(3),
    ],
)
def test_an_observation_space_of_parts_trains_in_the_wrapper_that_the_error_names(fit, space):
    class Parts(Counter):
        def __init__(self):
            super().__init__(length=4)
            self.observation_space = space

        def reset(self, **arguments):
            super().reset(**arguments)
            return space.sample(), {}

        def step(self, action):
            _, *rest = super().step(action)
            return space.sample(), *rest

    with (
        registered("Parts-v0", Parts),
        pytest.raises(ValueError, match=r"got .*; wrap the environment in (.*)$") as error,
    ):
        PPO("Parts")
    wrapper = getattr(gymnasium.wrappers, str(error.value).rpartition("gymnasium.wrappers.")[2])
    with registered("Flat-v0", lambda: wrapper(Parts())):
        assert fit(PPO("Flat", **SMALL)).rollouts[0].observations.shape == (32, 2, spaces.flatdim(space))


def test_an_observation_space_that_is_not_known():
    message = r"expected a Box or Discrete observation space, got Text.*; wrap the environment"
    with registered("Unseeable-v0", Unseeable), pytest.raises(ValueError, match=message):
        PPO("Unseeable")


def test_the_learning_rate_falls_in_a_line(fit):
    watch = fit(PPO("CartPole", **SMALL, learning_rate=0.3))
    assert watch.rates == pytest.approx([0.3, 0.2, 0.1])
    assert [watch.outputs[i]["learning_rate"].item() for i in (0, 8, 16)] == pytest.approx([0.3, 0.2, 0.1])
    assert fit(PPO("CartPole", **SMALL, learning_rate=0.3, anneal_lr=False)).rates == [0.3] * 3


def test_updates_end_at_target_kl_and_the_next_rollout_comes(fit):
    far, near = PPO("CartPole", **SMALL, target_kl=1e9), PPO("CartPole", **SMALL, target_kl=1e-12)
    assert len(fit(far).outputs) == 24
    watch = fit(near)
    assert len(watch.outputs) == 12 and near.env_steps == 192  # one pass a rollout
    assert watch.rates == pytest.approx([2.5e-4, 2.5e-4 * 2 / 3, 2.5e-4 / 3])


def test_gradients_are_clipped(quiet_trainer):
    class Norms(pl.Callback):
        def __init__(self):
            self.norms = []

        def on_before_zero_grad(self, trainer, pl_module, optimizer):
            gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
            if gradients:
                self.norms.append(torch.nn.utils.get_total_norm(gradients).item())

    def largest(limit, **arguments):
        norms, module = Norms(), PPO("CartPole", **SMALL, max_grad_norm=limit)
        quiet_trainer(callbacks=[norms], max_epochs=2, **arguments).fit(module)
        return max(norms.norms)

    assert largest(None) > 0.1
    assert largest(0.01) == pytest.approx(0.01, rel=1e-3)
    assert largest(0.01, gradient_clip_val=0.05) == pytest.approx(0.05, rel=1e-3)


def test_the_same_seed_gives_the_same_run_bit_for_bit(fit):
    def run(seed):
        torch.manual_seed(seed * 17)  # the global generator does not matter
        module = PPO("CartPole", **SMALL, seed=seed)
        state = torch.random.get_rng_state()
        watch = fit(module)
        assert torch.random.get_rng_state().equal(state)
        return parameters(module), watch.rollouts[-1].observations

    (first, seen), (again, seen_again), (other, _) = run(1), run(1), run(2)
    assert first.equal(again) and seen.equal(seen_again) and not first.equal(other)


def test_observation_moments_are_those_of_the_finished_rollouts(fit):
    module = PPO("Pendulum", **SMALL, norm_obs=True)
    watch = fit(module)
    seen = torch.cat([rollout.observations.flatten(0, 1) for rollout in watch.rollouts]).double()
    moments = module.policy.encode.moments
    torch.testing.assert_close(moments.mean.double(), seen.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moments.var.double(), seen.var(0, correction=0), rtol=1e-4, atol=1e-5)


def test_the_likeliest_action_is_what_forward_gives():
    module = PPO("CartPole")
    observations = torch.randn(6, 4)
    assert module(observations).equal(module.policy(observations)[0].mode())
    assert module.act(observations.numpy()).tolist() == module(observations).tolist()


def test_environments_are_closed_after_training(fit, monkeypatch):
    closed = []
    close = lambda envs, **_: closed.append(envs.num_envs)  # noqa: E731
    monkeypatch.setattr(gymnasium.vector.SyncVectorEnv, "close_extras", close)
    fit(PPO("Pendulum", **SMALL))
    assert closed == [1, 2]  # the one that gave the spaces, and those of the training
