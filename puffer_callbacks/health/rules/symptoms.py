"""Names of rules whose findings are symptoms of many causes, in groups."""

LEARNING = ("return_fell", "return_stalled", "episodes_at_limit")
POLICY = (
    "actions_saturated",
    "action_dominates",
    "kl_zero",
    "policy_rests",
    "advantage_unused",
    "policy_blind",
    "entropy_grows",
    "entropy_collapsed",
    "entropy_high",
)
NETWORK = ("units_saturated", "units_dormant", "plasticity_lost", "gradient_vanishes", "gradient_clipped")
CRITIC = ("critic_misfit", "value_explodes")
STEPS = ("kl_large", "update_ratio_large", "gradient_explodes")
SYMPTOMS = (*LEARNING, *POLICY, *NETWORK, *CRITIC, *STEPS)
