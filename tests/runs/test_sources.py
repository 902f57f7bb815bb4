import numpy as np
import pytest

from puffer_callbacks.runs.sources import SOURCES, source_of
from puffer_callbacks.values.vocabulary import VOCABULARY, describe

LOGS = {
    "puffer_callbacks": {"time/optimizer_steps": ("time/optimizer_steps", 1), "losses/entropy": ("losses/entropy", 1)},
    "stable-baselines3": {
        "rollout/ep_rew_mean": ("train/reward", 1),
        "train/entropy_loss": ("train/entropy", -1),
        "train/policy_gradient_loss": ("train/policy_loss", 1),
        "train/value_loss": ("train/value_loss", 1),
        "train/learning_rate": ("train/learning_rate", 1),
        "train/ent_coef": ("train/ent_coef", 1),
        "rollout/exploration_rate": ("rollout/exploration_rate", 1),
        "eval/mean_reward": ("eval/mean_reward", 1),
    },
    "cleanrl": {
        "charts/episodic_return": ("train/reward", 1),
        "losses/entropy": ("train/entropy", 1),
        "losses/td_loss": ("train/value_loss", 1),
        "losses/clipfrac": ("diagnostics/clip_fraction", 1),
    },
    "pufferlib": {
        "agent_steps": ("time/env_steps", 1),
        "environment/episode_return": ("train/reward", 1),
        "losses/entropy": ("train/entropy", 1),
        "loss/old_kl": ("diagnostics/old_approx_kl", 1),
    },
    "rsl_rl": {"Train/mean_reward": ("train/reward", 1), "Loss/value_function": ("train/value_loss", 1)},
    "skrl": {"Reward / Total reward (mean)": ("train/reward", 1), "Policy / Standard deviation": ("train/std", 1)},
    "sheeprl": {"Rewards/rew_avg": ("train/reward", 1), "Loss/entropy_loss": ("train/entropy", -1)},
    "torchrl": {"r_training": ("train/reward", 1), "kl_approx": ("diagnostics/approx_kl", 1)},
    "trl": {"frac_reward_zero_std": ("diagnostics/zero_std_fraction", 1), "train/kl": ("diagnostics/reference_kl", 1)},
    "verl": {"actor/ppo_kl": ("diagnostics/old_approx_kl", 1), "critic/score/mean": ("train/reward", 1)},
    "prime-rl": {"mismatch_kl/mean": ("diagnostics/mismatch_kl", 1), "optim/lr": ("train/learning_rate", 1)},
}  # fmt: skip
"""What each library logs, what we call it, and the sign."""


@pytest.mark.parametrize("name", LOGS)
def test_a_library_s_tags_under_ours(name):
    source = source_of(LOGS[name])
    assert source.name == name
    series = {tag: (np.array([64]), np.array([0.25 + at])) for at, tag in enumerate(LOGS[name])}
    found = source.translate(series)
    assert set(found) == {ours for ours, _ in LOGS[name].values()}
    for tag, (ours, sign) in LOGS[name].items():
        np.testing.assert_array_equal(found[ours], (series[tag][0], sign * series[tag][1]))


def test_every_library_is_tested():
    assert set(LOGS) == {source.name for source in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_aliases_are_of_our_vocabulary_and_of_one_meaning(source):
    assert all(describe(ours) for ours in source.aliases)
    theirs = [name.removeprefix("-") for names in source.aliases.values() for name in names]
    assert len(theirs) == len(set(theirs))


def test_of_several_names_the_first_counts():
    points = {tag: (np.array([1]), np.array([at])) for at, tag in enumerate(["losses/td_loss", "losses/value_loss"])}
    (cleanrl,) = (source for source in SOURCES if source.name == "cleanrl")
    np.testing.assert_array_equal(cleanrl.translate(points)["train/value_loss"], ([1], [1]))


def test_axes_of_older_runs():
    tags = {"axes/env_steps": [10, 20], "axes/optimizer_steps": [1, 2], "axes/wall_time": [1.7e9, 1.7e9 + 30]}
    series = {tag: (np.array([10, 20]), np.array(values, float)) for tag, values in tags.items()}
    found = {tag: values.tolist() for tag, (_, values) in source_of(tags).translate(series).items()}
    assert found == {"time/env_steps": [10, 20], "time/optimizer_steps": [1, 2], "time/elapsed": [0, 30]}


def test_unknown_library_keeps_what_the_vocabulary_knows():
    points = np.array([1]), np.array([0.5])
    assert source_of(["mine", "train/loss"]).translate({"mine": points, "train/loss": points}) == {"train/loss": points}


@pytest.mark.parametrize("tag", VOCABULARY)
def test_descriptions_are_sentences(tag):
    description = VOCABULARY[tag]
    assert description.tag == tag
    assert description.meaning[0].isupper() or description.meaning[0].isdigit()
    assert description.meaning.endswith(".")
