"""The real ``OnPolicyRunner`` on environments of arithmetic."""

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import MemoryLogger, PufferCallback, Recorder, default_callbacks
from puffer_callbacks.adapters import RslRlBridge
from puffer_callbacks.adapters.rsl_rl.rollouts import StorageRollouts
from tests.support.reading import tensorboard_scalars

pytest.importorskip("rsl_rl")
from tests.adapters.rsl_rl.arithmetic import ENVS, STEPS, make_runner

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


class Spy(PufferCallback):
    def __init__(self):
        self.rollouts, self.ended_by = [], None

    def on_rollout_end(self, trainer, pl_module, rollout):
        self.rollouts.append(rollout)

    def on_exception(self, trainer, pl_module, exception):
        self.ended_by = exception


def callbacks(**overrides):
    return [Recorder(overhead_budget=1.0), *default_callbacks(**{"metrics": 1, **overrides})]


def steps(logger, tag):
    return [step for step, _ in logger.series(tag)]


def test_every_update_stands_at_its_environment_steps(memory_logger):
    runner = RslRlBridge(memory_logger, callbacks()).attach(make_runner())
    losses, update = [], runner.alg.update
    runner.alg.update = lambda: losses.append(update()) or losses[-1]
    runner.learn(4)
    updates = [ENVS * STEPS * at for at in range(1, 5)]
    assert memory_logger.series("train/value_loss") == list(
        zip(updates, [each["value"] for each in losses], strict=True)
    )
    assert memory_logger.series("train/policy_loss")[-1][1] == losses[-1]["surrogate"]
    assert memory_logger.series("losses/entropy")[-1][1] == -losses[-1]["entropy"]
    assert steps(memory_logger, "train/learning_rate") == updates
    assert memory_logger.series("time/optimizer_steps") == [(step, 8.0 * at) for at, step in enumerate(updates, 1)]
    assert memory_logger.series("rollout/info/Episode_Reward/alive")[0] == (updates[0], 0.5)
    assert memory_logger.series("hyperparameters")[0][1].settings["num_steps_per_env"] == STEPS


def test_episodes_are_counted_with_the_environments_own_rewards(memory_logger):
    spy = Spy()
    RslRlBridge(memory_logger, [spy, *callbacks()]).attach(make_runner()).learn(3)
    ended = [
        sorted(
            (5 + env) * (env + 1.0)
            for env in range(ENVS)
            for at in range(first, first + STEPS)
            if (at + 1) % (5 + env) == 0
        )
        for first in (0, STEPS, 2 * STEPS)
    ]
    assert [sorted(rollout.episode_returns.tolist()) for rollout in spy.rollouts] == ended
    rollout = spy.rollouts[0]
    assert torch.equal(rollout.rewards, torch.arange(1.0, ENVS + 1).expand(STEPS, ENVS)), (
        "without the bootstrapped value"
    )
    assert {name: list(entry.shape) for name, entry in rollout.observations.items()} == {
        "policy": [STEPS, ENVS, 3],
        "privileged": [STEPS, ENVS, 6],
    }
    assert rollout.actions.shape == (STEPS, ENVS, 2)
    assert rollout.values.shape == rollout.advantages.shape == (STEPS, ENVS)
    assert rollout.dones.sum() == len(rollout.episode_returns)


def test_histograms_and_gradients_have_the_names_of_both_networks(memory_logger):
    RslRlBridge(memory_logger, callbacks(histograms=8, gradients=8)).attach(make_runner(max_grad_norm=1e-3)).learn(2)
    for tag in ("weights/actor.mlp.0.weight", "gradients/critic.mlp.0.weight", "rollout/advantages"):
        assert steps(memory_logger, tag) == [ENVS * STEPS, 2 * ENVS * STEPS], tag
    before, after = (dict(memory_logger.series(f"gradient_norm/{name}")) for name in ("total", "clipped"))
    assert before.keys() == after.keys() != set()
    assert all(before[step] > 2e-3 > after[step] for step in before), "before the clip of each network"


def test_training_is_the_same_bit_for_bit_and_the_runner_is_left_as_it_was(memory_logger):
    weights = []
    for bridge in (None, RslRlBridge(memory_logger, callbacks(histograms=1, gradients=1))):
        runner = make_runner()
        if bridge is not None:
            bridge.attach(runner)
        runner.learn(3)
        weights.append([*runner.alg.actor.parameters(), *runner.alg.critic.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))
    assert not {"update", "process_env_step"} & vars(runner.alg).keys()
    bridge.detach()
    assert "learn" not in vars(runner)


def test_learning_goes_on_over_the_steps_so_far(memory_logger):
    runner = RslRlBridge(memory_logger, callbacks()).attach(make_runner())
    runner.learn(2)
    runner.learn(2)
    assert steps(memory_logger, "train/value_loss") == [ENVS * STEPS * at for at in range(1, 5)]


def test_a_callback_ends_a_run_that_is_learned_in_parts():
    class Stop(PufferCallback):
        def on_rollout_end(self, trainer, pl_module, rollout):
            trainer.should_stop = rollout.env_steps == 3 * ENVS * STEPS

    bridge = RslRlBridge(None, [Stop()])
    runner = bridge.attach(make_runner())
    parts = 0
    while not bridge.should_stop and parts < 5:
        runner.learn(1)
        parts += 1
    assert parts == 3


def test_the_episodes_of_a_rollout_that_an_exception_cut_short_count():
    spy = Spy()
    runner = RslRlBridge(None, [spy]).attach(make_runner())
    act, steps = runner.alg.act, []

    def broken(*observations):
        steps.append(1)
        if len(steps) > STEPS + 7:
            raise OSError("the simulator is gone")
        return act(*observations)

    runner.alg.act = broken
    with pytest.raises(OSError, match="the simulator is gone"):
        runner.learn(4)
    ended = [env for env in range(ENVS) for at in range(STEPS, STEPS + 7) if (at + 1) % (5 + env) == 0]
    assert len(spy.rollouts) == 2
    assert sorted(spy.rollouts[1].episode_lengths.tolist()) == sorted(5 + env for env in ended)
    assert spy.rollouts[1].env_steps == ENVS * (STEPS + 7)


def test_an_exception_is_recorded_and_raised(memory_logger, tmp_path):
    spy, tensorboard = Spy(), TensorBoardLogger(tmp_path, name="", version="")
    runner = RslRlBridge([memory_logger, tensorboard], [spy, *callbacks()]).attach(make_runner())
    update = runner.alg.compute_returns

    def broken(observations):
        if len(spy.rollouts) == 2:
            raise OSError("the simulator is gone")
        update(observations)

    runner.alg.compute_returns = broken
    with pytest.raises(OSError, match="the simulator is gone"):
        runner.learn(4)
    assert isinstance(spy.ended_by, OSError)
    assert "OSError: the simulator is gone" in memory_logger.text
    assert [step for step, _ in tensorboard_scalars(tmp_path)["train/value_loss"]] == [128, 256]


def test_a_rollout_without_a_step_is_none():
    assert StorageRollouts().pop(None, env_steps=0) is None


def test_another_object_gets_one_clear_error():
    with pytest.raises(TypeError, match=r"attach: expected an rsl_rl runner, got dict, which has no alg, env"):
        RslRlBridge(MemoryLogger(), default_callbacks()).attach({})


def ended_in(first):
    """Lengths and returns of the episodes that end in a rollout, from the arithmetic of the environments."""
    ended = [
        (5 + env, (5 + env) * (env + 1.0))
        for env in range(ENVS)
        for at in range(first, first + STEPS)
        if (at + 1) % (5 + env) == 0
    ]
    return sorted(ended)


def episodes(rollout):
    return sorted(zip(rollout.episode_lengths.tolist(), rollout.episode_returns.tolist(), strict=True))


def test_an_episode_goes_on_over_the_parts_of_a_run():
    spy = Spy()
    runner = RslRlBridge(None, [spy]).attach(make_runner())
    for _ in range(3):
        runner.learn(1)
    assert [episodes(rollout) for rollout in spy.rollouts] == [ended_in(at * STEPS) for at in range(3)]


@pytest.mark.parametrize("loaded", ["before", "after"])
@pytest.mark.parametrize("same_environments", [True, False])
def test_a_checkpoint_s_episodes_go_on_in_their_own_environments_alone(same_environments, loaded):
    runner, first, spy = make_runner(), RslRlBridge(None, []), Spy()
    first.attach(runner).learn(2)
    state = first.state_dict()
    first.detach()
    runner = runner if same_environments else make_runner()
    second = RslRlBridge(None, [spy])
    if loaded == "before":  # the bridge is attached
        second.load_state_dict(state)
    second.attach(runner)
    if loaded == "after":
        second.load_state_dict(state)
    runner.learn(1)
    assert spy.rollouts[0].env_steps == 3 * ENVS * STEPS
    assert episodes(spy.rollouts[0]) == ended_in(2 * STEPS if same_environments else 0)


def test_a_checkpoint_continues_the_steps_of_the_optimizer(memory_logger):
    first, second = RslRlBridge(None, callbacks()), RslRlBridge(memory_logger, callbacks())
    first.attach(make_runner()).learn(2)
    runner = second.attach(make_runner())
    second.load_state_dict(first.state_dict())
    runner.learn(1)
    assert memory_logger.series("time/optimizer_steps") == [(3 * ENVS * STEPS, 3 * 8.0)]


def test_a_model_that_was_trained_before_goes_on_at_the_steps_of_its_iterations():
    runner = RslRlBridge(None, [spy := Spy()]).attach(make_runner())
    runner.current_learning_iteration = 5  # as ``load`` sets it
    runner.learn(1)
    assert spy.rollouts[0].env_steps == 6 * ENVS * STEPS


def test_the_runner_s_own_log_has_the_losses_and_another_that_is_attached_frees_it():
    bridge = RslRlBridge(None, [])
    first, logged = bridge.attach(make_runner()), []
    first.logger.log = lambda **values: logged.append(values["loss_dict"])
    first.learn(1)
    assert logged[0]["value"] > 0
    second = bridge.attach(make_runner())
    assert "learn" in vars(second) and "learn" not in vars(first)


def test_what_environments_report_is_found_under_either_name():
    rollouts, reward, done = StorageRollouts(), torch.ones(2), torch.zeros(2)
    for extras in ({}, {"episode": {"/lap": torch.tensor([1.0, 2.0])}}, {"log": {"lap": 4}}):
        rollouts.step(reward, done, extras)
    assert rollouts.pop(None, env_steps=6).infos["lap"].tolist() == [1.0, 2.0, 4.0]


def test_a_runner_that_is_attached_again_goes_on_and_another_begins_anew():
    bridge = RslRlBridge(None, [spy := Spy()])
    runner = make_runner()
    for _ in range(2):
        bridge.attach(runner).learn(2)
        bridge.detach()
    bridge.attach(make_runner()).learn(1)
    assert [rollout.env_steps // (ENVS * STEPS) for rollout in spy.rollouts] == [1, 2, 3, 4, 1]
    begun = [0, 1, 2, 3, 0]
    assert [episodes(rollout) for rollout in spy.rollouts] == [ended_in(at * STEPS) for at in begun]


def test_episodes_begin_anew_where_the_environments_were_reset_between_two_parts():
    spy = Spy()
    runner = RslRlBridge(None, [spy]).attach(make_runner())
    runner.learn(1)
    runner.env.episode_length_buf.zero_()
    runner.learn(1)
    assert episodes(spy.rollouts[1]) == ended_in(0)


@pytest.mark.parametrize("same_environments", [True, False])
def test_a_checkpoint_within_a_rollout_keeps_its_finished_episodes(same_environments):
    states, spy = [], Spy()
    bridge = RslRlBridge(None, [])
    runner = bridge.attach(make_runner())
    compute_returns = runner.alg.compute_returns

    def saves(obs):
        states.append((bridge.state_dict(), runner.env.episode_length_buf.clone()))
        compute_returns(obs)

    runner.alg.compute_returns = saves
    runner.learn(2)
    resumed = RslRlBridge(None, [spy])
    other = resumed.attach(make_runner())
    state, lengths = states[1]
    if same_environments:
        other.env.episode_length_buf = lengths
    resumed.load_state_dict(state)
    other.learn(2)
    first = 2 * STEPS if same_environments else 0
    assert episodes(spy.rollouts[0]) == sorted(ended_in(STEPS) + ended_in(first))  # before the checkpoint, and after
    assert episodes(spy.rollouts[1]) == ended_in(first + STEPS)
