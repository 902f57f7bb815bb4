"""The configuration of a Stable-Baselines3 algorithm."""

import inspect
from typing import Any

_HIDDEN = {"self", "env", "policy", "tensorboard_log", "verbose", "_init_setup_model"}


def settings_of(model: Any) -> dict[str, Any]:
    """The arguments the algorithm was made with, as far as it keeps them, and the steps that ``learn`` ends at."""
    names = [name for name in inspect.signature(type(model).__init__).parameters if name not in _HIDDEN]
    made_with = {name: _as_given(getattr(model, name)) for name in names if hasattr(model, name)}
    env = getattr(model.get_env(), "envs", [None])[0]  # of environments in this process
    settings = {
        "algorithm": type(model).__name__,
        "env_id": getattr(getattr(env, "spec", None), "id", None),
        "num_envs": model.n_envs,
        "total_timesteps": model._total_timesteps,  # those before included, where learn counts on
    }
    return {**settings, **made_with}


def _as_given(value: Any) -> Any:
    """What the algorithm was given, such as a number for the clip range, which it wraps in schedules."""
    value = getattr(value, "value_schedule", value)  # of FloatSchedule
    value = getattr(value, "val", value)  # of ConstantSchedule
    is_schedule = callable(value) and not isinstance(value, type) and not inspect.isroutine(value)
    has_text = is_schedule and not str(value).startswith("<")  # Python's own, with an address
    return str(value) if has_text else value
