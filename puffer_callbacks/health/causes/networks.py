"""Causes in the critic and in the networks."""

from puffer_callbacks.health.causes.cause import Cause

NETWORKS: dict[str, Cause] = {
    "critic_detached": Cause(
        "the value loss does not reach the critic (detached, or not in the optimizer)",
        "do not detach values in the value loss; give the critic's parameters to the optimizer",
        needs=("critic",),
    ),
    "value_loss_broadcast": Cause(
        "values of shape [N, 1] are compared with returns of shape [N], which broadcast to [N, N]",
        "give both one shape before the difference: values.squeeze(-1), or returns.unsqueeze(-1)",
        needs=("critic",),
    ),
    "value_coefficient_zero": Cause(
        "the value loss has weight 0", "set the value loss coefficient (0.5 is common)", needs=("critic", "advantages")
    ),
    "critic_misfit": Cause(
        "the critic learns too slowly for its targets",
        "raise its learning rate; look at the scale of returns",
        needs=("critic",),
        remedies={
            "ratio": "raise its learning rate, its epochs or the value coefficient; look at the scale of returns",
            "advantages": "raise its learning rate or the value coefficient; look at the scale of returns",
        },
    ),
    "target_without_value": Cause(
        "the critic learns other targets than its returns",
        "let it learn returns = advantages + values",
        needs=("critic", "advantages"),
    ),
    "target_without_advantage": Cause(
        "the critic learns its own values",
        "let it learn returns = advantages + values, not the stored values",
        needs=("critic", "advantages"),
    ),
    "gamma_low": Cause(
        "the discount factor makes the policy blind to all but the next few rewards",
        "raise gamma: 1 / (1 − gamma) should reach the rewards that matter (0.99 sees 100 steps)",
        needs=("environment",),
    ),
    "target_not_updated": Cause(
        "the target network is never updated",
        "update it every few hundred to thousand steps, or with tau > 0",
        needs=("target_network",),
    ),
    "target_copied": Cause(
        "the target network is copied from the trained one after every step, and holds no target still",
        "copy it every few hundred to thousand steps, or follow with a tau of 0.005 to 0.01",
        needs=("target_network",),
    ),
    "td_target_wrong": Cause(
        "the critic's targets, or the values held against them, are wrong: no mask at ends, another dimension or shape",
        "let q(s, a) learn r + gamma (1 − terminated) min q_target(s', a'), both of shape [N]",
        needs=("target_network",),
        remedies={
            "exploration_rate": "let q(s).gather(1, action) learn r + gamma (1 − terminated) q_target(s').max(1), "
            "both of shape [N]"
        },
    ),
    "value_index_wrong": Cause(
        "max or gather takes the wrong dimension of the critic's outputs [N, actions]",
        "take the next value by max(dim=1), and the value of the action by gather(1, action.unsqueeze(1))",
        needs=("target_network", "exploration_rate"),
    ),
    "target_update_late": Cause(
        "the target network is updated too rarely for the length of the run",
        "update it every few hundred to thousand steps; train for many times its interval",
        needs=("target_network",),
    ),
    "no_updates": Cause(
        "no update takes place",
        "check the condition under which an update is made, and the batch size",
        remedies={
            "target_network": "check when learning begins (learning_starts), when updates are due and the batch size"
        },
    ),
    "rollout_long": Cause(
        "rollouts are long for the length of the run",
        "collect fewer steps before each update (num_steps, num_envs), 1,000 to 8,000 in all for small tasks",
        needs=("advantages",),
    ),
    "training_short": Cause("the run is short", "train for longer (total_timesteps)", needs=("environment",)),
    "part_left_out": Cause(
        "no gradient reaches this part, or no optimizer holds it",
        "freeze it (requires_grad_(False)) if that is meant; else give it to the optimizer and check detach()",
    ),
    "dead_units": Cause(
        "units are dead: ReLU layers that are 0 for every input",
        "lower the learning rate; look at biases; use a leaky activation or layer normalization",
    ),
    "initialization_saturates": Cause(
        "initial weights are so large that units start saturated",
        "initialize orthogonally with gain √2",
        remedies={"actor": "initialize orthogonally with gain √2 (0.01 for the actor's last layer)"},
    ),
    "weights_saturate": Cause(
        "weights have grown until units saturate",
        "lower the learning rate; normalize inputs; add layer normalization",
    ),
    "weight_decay": Cause("weight decay is stronger than learning", "lower weight_decay, to 1e-2 or less"),
    "plasticity_lost": Cause(
        "the network has lost its plasticity: many units are dormant, or the rank is low",
        "lower the learning rate; reset dormant units; use layer normalization",
        remedies={
            "ratio": "lower the learning rate or the number of epochs; reset dormant units; use layer normalization"
        },
    ),
    "gradient_explodes": Cause("gradients grow without limit", "clip the gradient's norm; lower the learning rate"),
    "gradient_vanishes": Cause(
        "gradients vanish on their way back",
        "look for saturated or dead units; use normalization and smaller initial weights",
    ),
    "action_saturated": Cause(
        "actions lie at their bounds, whatever the observation",
        "check the scale of the action head: it outputs units of the action space, scaled once",
        needs=("environment", "actor"),
    ),
    "action_dominates": Cause(
        "one action is taken at every step",
        "check the bias of the output layer and the mapping of actions",
        needs=("environment",),
    ),
    "exploration_unlucky": Cause(
        "the environment is hard, or learning has not begun yet",
        "train longer; try several seeds; compare with known hyperparameters of the environment",
        needs=("environment",),
    ),
}
