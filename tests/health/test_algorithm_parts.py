"""No finding names what the algorithm of its run does not have: of PPO to supervised training, every cause is read."""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from puffer_callbacks.health import Facts
from puffer_callbacks.health.causes import CAUSES
from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.parts import ANY, parts_of
from tests.health.runs import FLAT, RISING, STEPS, constant, found


class Algorithm(NamedTuple):
    """What is seen of a run of an algorithm, and what no finding may speak of there."""

    tags: tuple[str, ...]
    facts: Facts
    absent: str
    explores_by: str


RATIO, PASSES = r"\bratio|clip range|clip_range", r"epochs|passes"
ADVANTAGES = r"advantage|rollout's|num_steps|ent_coef|entropy bonus|entropy coefficient"
TARGETS, REPLAY = r"target network|q_target|gather", r"replay|learning_starts"
NOISE, EPSILON, TEMPERATURE = "action noise", "exploration (rate|schedule)", "temperature (rates|,|or)|the temperature,"
ON_POLICY = f"{TARGETS}|{REPLAY}|{NOISE}|{EPSILON}|{TEMPERATURE}"
OFF_POLICY = f"{RATIO}|{PASSES}|{ADVANTAGES}|log.?prob"
REWARDS = (
    r"reward|return|critic|policy|\bactor|entropy|episode|environment|observation|rollout|explor|gamma|discount|\bvalue\b"
    f"|VecNormalize|norm_obs|total_timesteps|{ON_POLICY}|{OFF_POLICY}"
)
OF_WEIGHTS = "diagnostics/weight_norm/"
Q = (f"{OF_WEIGHTS}net.0", f"{OF_WEIGHTS}target_net.0")
ACTOR_CRITIC = tuple(f"{OF_WEIGHTS}{part}.0" for part in ("actor", "q1", "q1_target"))
LOSSES = ("train/reward", "train/policy_loss")
A2C = (*LOSSES, "train/value_loss", "train/entropy", "diagnostics/advantage_std")
BONUS = "add an entropy bonus to the loss, or raise its coefficient"
RATE, LEARNED = "raise the exploration rate, or let it fall later", "raise the temperature, or the entropy"

ALGORITHMS = {
    "PPO": Algorithm((*A2C, "diagnostics/approx_kl"), Facts(entropy_coefficient=0.01), ON_POLICY, BONUS),
    "PPO, settings": Algorithm((*LOSSES,), Facts(clip_range=0.2, value_coefficient=0.5), ON_POLICY, BONUS),
    "A2C": Algorithm(A2C, Facts(entropy_coefficient=0.01), f"{ON_POLICY}|{RATIO}|{PASSES}", BONUS),
    "REINFORCE": Algorithm(
        (*LOSSES, f"{OF_WEIGHTS}policy.0"),
        Facts(num_actions=2),
        f"{ON_POLICY}|{RATIO}|{PASSES}|critic|return − value|outweighs|certainty",
        BONUS,
    ),
    "DQN": Algorithm(("train/reward", "train/epsilon"), Facts(), f"{OFF_POLICY}|\\bactor|{NOISE}|{TEMPERATURE}", RATE),
    "DQN, weights": Algorithm((*Q, *LOSSES[:1]), Facts(num_actions=2), f"{OFF_POLICY}|\\bactor|{TEMPERATURE}", RATE),
    "DQN, as in PyTorch's tutorial": Algorithm(
        (f"{OF_WEIGHTS}policy_net.0", f"{OF_WEIGHTS}target_net.0", *LOSSES[:1]),
        Facts(num_actions=2),
        f"{OFF_POLICY}|\\bactor|{NOISE}|{TEMPERATURE}",
        RATE,
    ),
    "DQN, named": Algorithm((), Facts(algorithm="DQN"), f"{OFF_POLICY}|\\bactor|{NOISE}|{TEMPERATURE}", RATE),
    "SAC": Algorithm(
        (*ACTOR_CRITIC, "train/alpha"), Facts(), f"{RATIO}|{PASSES}|{ADVANTAGES}|{NOISE}|{EPSILON}|gather", LEARNED
    ),
    "TD3": Algorithm(
        ACTOR_CRITIC,
        Facts(action_dimensions=1),
        f"{OFF_POLICY}|{EPSILON}|{TEMPERATURE}|gather",
        "raise the action noise",
    ),
    "ARS": Algorithm(("train/reward",), Facts(algorithm="ARS"), f"{OFF_POLICY}|{ON_POLICY}|critic", "explore more"),
    "supervised": Algorithm(("train/loss", "gradient_norm/total", "throughput/sps"), Facts(), REWARDS, "explore more"),
}


def parts(algorithm: Algorithm) -> Any:
    return parts_of(Evidence({tag: (STEPS, constant(0.5)) for tag in algorithm.tags}, algorithm.facts))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_no_cause_that_fits_an_algorithm_names_what_it_lacks(name: str) -> None:
    algorithm = ALGORITHMS[name]
    has = parts(algorithm)
    words = {key: f"{cause.text}; {cause.remedy_for(has)}" for key, cause in CAUSES.items() if cause.fits(has)}
    named = {key: match[0] for key, text in words.items() if (match := re.search(algorithm.absent, text))}
    assert named == {}
    assert {"learning_rate_high", "no_clipping", "optimizer_missing"} <= words.keys()
    assert CAUSES["exploration_missing"].remedy_for(has).startswith(algorithm.explores_by)


def test_a_log_of_rewards_alone_rules_out_supervised_training_and_nothing_else() -> None:
    alone = Evidence({"train/reward": (STEPS, FLAT)}, Facts())
    assert parts_of(alone) == ANY
    assert {name for name, cause in CAUSES.items() if not cause.fits(ANY)} == {
        name for name, cause in CAUSES.items() if "dataset" in cause.needs
    }


@pytest.mark.parametrize("facts", [Facts(), Facts(entropy_coefficient=0.0)])
def test_a_log_of_rewards_alone_gives_no_remedy_of_one_algorithm(facts: Facts) -> None:
    stalled = found("return_stalled", facts, train__reward=FLAT)
    fell = found("return_fell", facts, train__reward=RISING[::-1])
    assert "explore more" in stalled.remedies
    assert not re.search("ratio|entropy bonus", f"{stalled.remedies} {fell.remedies}")
    known = {"diagnostics__approx_kl": constant(0.01), "train__reward": RISING[::-1]}
    assert "minimize −advantage · ratio, with advantage = return − baseline" in found("return_fell", **known).remedies


def words(finding: Any) -> str:
    return " ".join((finding.message, *finding.causes, *finding.remedies))


GROWING = np.geomspace(1, 1e6, 100)


def test_a_gradient_that_explodes_speaks_of_no_ratio_where_there_is_none() -> None:
    dqn = found("gradient_explodes", gradient_norm__total=GROWING, train__reward=FLAT, train__epsilon=constant(0.05))
    assert dqn.causes[:2] == ("the gradient's norm is not limited", "the learning rate is too high")
    ppo = found("kl_large", train__reward=FLAT, diagnostics__approx_kl=constant(0.5))
    assert "the probability ratio is not limited" in ppo.causes


def test_a_gradient_that_is_clipped_is_not_one_without_a_limit() -> None:
    series = {"gradient_norm__total": GROWING, "train__reward": FLAT, "diagnostics__approx_kl": constant(0.5)}
    unlimited = found("kl_large", gradient_norm__clipped=GROWING, **series)
    limited = found("kl_large", gradient_norm__clipped=np.minimum(GROWING, 0.5), **series)
    assert set(unlimited.causes) - set(limited.causes) == {"the gradient's norm is not limited"}


@pytest.mark.parametrize("algorithm", [None, "PPO"])
def test_a_clipped_gradient_has_to_do_with_rewards_where_there_are_some(algorithm: str | None) -> None:
    norms = {"gradient_norm__total": constant(1000.0), "gradient_norm__clipped": constant(0.5)}
    finding = found("gradient_clipped", Facts(algorithm=algorithm), train__loss=RISING[::-1], **norms)
    assert bool(re.search(REWARDS, words(finding))) == (algorithm == "PPO")


@pytest.mark.parametrize("reward", [None, FLAT])
def test_nan_comes_from_the_environment_where_there_is_one(reward: Any) -> None:
    loss = np.where(STEPS > 50_000, np.nan, 1.0)
    finding = found("nonfinite_values", train__loss=loss, **({} if reward is None else {"train__reward": reward}))
    source = "a batch has inputs or targets" if reward is None else "the environment returned an observation"
    assert any(cause.startswith(source) for cause in finding.causes)
    assert bool(re.search("environment|batch", words(finding)))
    assert not (reward is None and re.search(REWARDS, words(finding)))


def test_training_that_slows_down_has_no_environment_without_rewards() -> None:
    slower = np.linspace(100, 10, 100)
    assert not re.search(REWARDS, words(found("throughput_falls", throughput__sps=slower, train__loss=constant(1.0))))
    assert "environment" in words(found("throughput_falls", throughput__sps=slower, train__reward=FLAT))


def test_gradients_that_vanish_after_the_first_updates_changed_the_policy_by_far() -> None:
    """As those of TD3's tanh with a hundred times the learning rate."""
    series = {"train__reward": FLAT, "gradient_norm__actor": constant(0.0), "gradient_norm__total": constant(1.0)}
    jumps = {"diagnostics__weight_change__actor": np.where(STEPS < 3_000, 0.5, 0.01)}
    assert found("gradient_vanishes", **series).causes[0] == "gradients vanish on their way back"
    assert found("gradient_vanishes", **series, **jumps).causes[0] == "the learning rate is too high"
