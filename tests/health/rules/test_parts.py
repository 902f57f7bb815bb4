"""Parts of a network and groups of parameters that differ on purpose."""

import numpy as np
from torch import nn

from puffer_callbacks.health import Facts, Finding
from puffer_callbacks.health.modules import meant_to_change
from tests.health.runs import constant, found, step_at

MOVES, RESTS = constant(0.1), constant(0)


def _unchanged(gradients: dict[str, float] | None = None, **changes: np.ndarray) -> Finding | None:
    weights = {f"diagnostics__weight_change__{name}": values for name, values in changes.items()}
    norms = {f"gradient_norm__{name}": constant(value) for name, value in (gradients or {}).items()}
    return found("weights_unchanged", **weights, **norms)


def test_a_part_of_no_certain_role_that_rests_is_a_note() -> None:
    """As a frozen encoder, or an output for a task of its own."""
    finding = _unchanged(encoder=RESTS, actor_dot_0=MOVES, critic_dot_0=MOVES)
    assert finding is not None and finding.severity == "info"
    assert finding.message == "The weights of encoder stay exactly as they are, while others change."
    assert finding.causes == ("no gradient reaches this part, or no optimizer holds it",)


def test_an_unused_output_beside_a_part_that_trains_is_a_note() -> None:
    parts = {"critic_dot_0": MOVES, "critic_dot_aux": RESTS, "actor_dot_0": MOVES}
    unused = _unchanged({"critic_dot_0": 1.0, "actor_dot_0": 1.0}, **parts)
    reached = _unchanged({"critic_dot_0": 1.0, "actor_dot_0": 1.0, "critic_dot_aux": 1.0}, **parts)
    assert unused and unused.severity == "info"
    assert reached and reached.severity == "critical"


def test_a_note_hides_no_trouble_of_another_part() -> None:
    finding = _unchanged(encoder=RESTS, actor_dot_0=RESTS, critic_dot_0=MOVES)
    assert finding is not None and finding.severity == "critical"
    assert "encoder" not in finding.message
    assert finding.causes[0] == "the actor's weights are not trained"


def test_a_network_without_roles_that_rests_altogether_is_a_trouble() -> None:
    finding = _unchanged(**{"0": RESTS, "2": RESTS})
    assert finding is not None and finding.severity == "critical"


def test_a_part_whose_learning_rate_is_zero_rests_for_that_reason() -> None:
    changes = {"diagnostics__weight_change__actor_dot_0": MOVES, "diagnostics__weight_change__critic_dot_0": RESTS}
    rates = {"train__learning_rate": constant(1e-3), "train__learning_rate__group_1": constant(0)}
    finding = found("weights_unchanged", **changes, **rates)
    assert finding is not None
    assert finding.causes[0] == "the learning rate is 0"
    assert "train/learning_rate/group_1" in [number.tag for number in finding.evidence]


def test_one_group_of_several_may_have_a_learning_rate_of_zero() -> None:
    groups = {"train__learning_rate": constant(0), "train__learning_rate__group_1": constant(1e-3)}
    assert found("learning_rate_zero", **groups) is None
    assert found("learning_rate_zero", **groups | {"train__learning_rate__group_1": constant(0)}) is not None


def test_groups_with_learning_rates_of_their_own_follow_the_configuration() -> None:
    head = {"train__learning_rate": constant(1e-5), "train__learning_rate__group_1": constant(1e-3)}
    assert found("schedule_not_applied", Facts(learning_rate=1e-3), **head) is None
    other = head | {"train__learning_rate__group_1": constant(1e-5)}
    assert found("schedule_not_applied", Facts(learning_rate=1e-3), **other) is not None
    falls = {"train__learning_rate": constant(0), "train__learning_rate__1": np.linspace(1e-3, 0, 100)}
    assert found("schedule_not_applied", Facts(anneal_learning_rate=True), **falls) is None


def test_a_warm_up_from_far_below_is_on_its_way_to_the_configured_rate() -> None:
    warm_up = np.linspace(1e-6, 1e-5, 10)
    assert found("schedule_not_applied", Facts(learning_rate=1e-3), train__learning_rate=warm_up) is None
    stays = step_at(1_000, 0, 1e-5)
    assert found("schedule_not_applied", Facts(learning_rate=1e-3), train__learning_rate=stays) is not None


def _followed(*frozen: str) -> set[str]:
    module = nn.ModuleDict({name: nn.Linear(1, 1) for name in ("encoder", "actor", "critic", "q_target")})
    module["critic"] = nn.ModuleDict({"base": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    for name in frozen:
        module.get_submodule(name).requires_grad_(False)
    return {name.rpartition(".")[0] for name, _ in meant_to_change(module.named_parameters())}


def test_parts_that_are_frozen_beside_others_are_not_followed() -> None:
    everything = {"encoder", "actor", "critic.base", "critic.head", "q_target"}
    assert _followed() == everything
    assert _followed("encoder", "critic.base", "q_target") == everything - {"encoder", "critic.base"}


def test_a_target_network_that_is_frozen_is_followed_beside_one_that_is_not() -> None:
    module = nn.ModuleDict({name: nn.Linear(1, 1) for name in ("actor", "critic", "actor_target", "critic_target")})
    module["critic_target"].requires_grad_(False)
    assert {"actor_target.weight", "critic_target.weight"} <= dict(meant_to_change(module.named_parameters())).keys()


def test_an_actor_or_critic_that_is_frozen_altogether_is_followed() -> None:
    assert {"actor", "critic.base", "critic.head"} <= _followed("actor", "critic")
