"""A critic with a target network: what it learns, with which outputs, and how still its targets hold."""

import numpy as np

from puffer_callbacks.health.evidence import LOOKS, Evidence, NotJudged
from puffer_callbacks.health.finding import Severity
from puffer_callbacks.health.modules import has_actor, role_of
from puffer_callbacks.health.rule import Verdict, rule
from puffer_callbacks.health.rules.symptoms import SYMPTOMS
from puffer_callbacks.health.rules.weights import NORM
from puffer_callbacks.health.series import median

ADVANTAGES = "diagnostics/advantage_std"
BOOTSTRAP, SPREAD = "diagnostics/terminal_bootstrap", "diagnostics/next_value_spread"
COPIED, UNTRAINED = "diagnostics/target_copied", "diagnostics/untrained_outputs"
VALUES, ACTOR_LOSSES = "train/q_values", ("train/actor_loss", "train/policy_loss")
BELLMAN = "Mnih et al. 2015, Human-level control through deep reinforcement learning, algorithm 1"
_MANY = 3
_CARRIED, _INVERTED = 0.5, 1.5
"""Of the size of next values in a batch: what those at ends exceed where the mask is missing, and where it leaves them
alone."""
_ALIKE = 1e-5
_MANY_LOSSES, _EQUAL, _NEARLY_ALL = 8, 0.2, 0.9
"""Points of the actor's loss; its distance from the values over that from their negative, where the sign is wrong; and
the share of the points at which it is."""


def learns_from_targets(evidence: Evidence) -> bool:
    """Whether there is a critic with its target network and no advantage, as in DQN and SAC.

    Beside a target network and no actor it is the critic that acts, whatever its name.
    """
    roles = {role_of(name) for name in evidence.matching(NORM)}
    has_critic = "critic" in roles or not has_actor(roles)
    return "target" in roles and has_critic and evidence.find(ADVANTAGES) is None


@rule("td_targets", severity="critical", source=BELLMAN, explains=SYMPTOMS)
def td_targets(evidence: Evidence) -> Verdict | None:
    """Targets of a critic that add a next value where episodes end, or the same one to every reward."""
    carried = evidence.find(BOOTSTRAP)
    spell = None if carried is None else carried.spell(carried.values > _CARRIED, points=_MANY, share=0.5)
    if spell is not None:
        message = "The critic's targets add a next value to the last reward of episodes that ended."
        mask = ("bootstrap_mask_missing", "done_mask_inverted")
        causes = mask if median(spell.values) < _INVERTED else mask[::-1]
        return Verdict(message, causes, spell.span, [BOOTSTRAP])
    spread = evidence.get(SPREAD, points=_MANY)
    spell = spread.spell(spread.values < _ALIKE, points=_MANY, share=0.5)
    if spell is None:
        return None
    message = "The critic's targets add the same next value to every reward of a batch."
    return Verdict(message, ("value_index_wrong", "td_target_wrong", "observation_constant"), spell.span, [SPREAD])


@rule(
    "actor_loss_sign",
    severity="critical",
    source="Lillicrap et al. 2016, arXiv:1509.02971, equation 6: the actor goes up the gradient of its values",
    explains=SYMPTOMS,
)
def actor_loss_sign(evidence: Evidence) -> Verdict | None:
    """An actor's loss that is the mean value of its actions, not the negative, while the return does not rise.

    That of a policy gradient may be so by chance: −log π · q where three actions are equally likely is 1.1 q.
    """
    if not learns_from_targets(evidence) or evidence.facts.num_actions is not None:
        raise NotJudged("needs a target network, and actions that are not discrete")
    tag = next((tag for tag in ACTOR_LOSSES if evidence.find(tag)), ACTOR_LOSSES[0])
    loss = evidence.get(tag, points=_MANY_LOSSES)
    values = evidence.get(VALUES, points=_MANY_LOSSES).at(loss.steps)
    is_wrong = np.abs(loss.values - values) < _EQUAL * np.abs(loss.values + values)
    if np.mean(is_wrong) < _NEARLY_ALL or evidence.required_returns.healthy:
        return None
    message = f"The actor's loss is {loss.values[-1]:.3g} where its actions have values of about {values[-1]:.3g}."
    return Verdict(message, ("actor_sign",), loss.span, [tag, VALUES])


@rule("outputs_untrained", severity="warning", source=BELLMAN, explains=SYMPTOMS)
def outputs_untrained(evidence: Evidence) -> Verdict | None:
    """Outputs of the critic that no update has changed; a note where the run does well, as without some actions."""
    untrained = evidence.get(UNTRAINED, points=LOOKS)
    if untrained.values[-1] == 0 or np.ptp(untrained.values[-LOOKS:]) > 0:  # of many actions few come in each batch
        return None
    message = f"{untrained.values[-1]:.0%} of the critic's outputs have not been changed by any update."
    severity: Severity = "info" if evidence.does_well else "warning"
    return Verdict(message, ("value_index_wrong", "action_dominates"), untrained.span, [UNTRAINED], severity)


@rule("target_copied", severity="warning", source=BELLMAN, explains=SYMPTOMS)
def target_copied(evidence: Evidence) -> Verdict | None:
    """A target network that equals the trained one after every step; a note where the run does well."""
    copied = evidence.get(COPIED, points=_MANY)
    if not copied.values.all():
        return None
    message = "Each step makes the target network equal to the trained one, so that targets move with every update."
    severity: Severity = "info" if evidence.does_well else "warning"
    return Verdict(message, ("target_copied",), copied.span, [COPIED], severity)
