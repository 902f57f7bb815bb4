"""Vectorized environments by name, with one clear line where a name is unknown or a package is missing."""

import dataclasses
import difflib
import importlib
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv

from puffer_callbacks.faults import format_error

Array = npt.NDArray[Any]


def resolve_env_id(env_id: str) -> str:
    """The full registered name of an environment: ``CartPole`` is the newest registered ``CartPole-vN``.

    Args:
        env_id: a registered environment, with or without its version; ``module:Name-v0`` imports
            ``module`` first.

    Raises:
        TypeError: if ``env_id`` is not a string.
        ValueError: if no such environment is registered; the line names similar ones.

    Example:
        >>> resolve_env_id("CartPole")
        'CartPole-v1'
    """
    if not isinstance(env_id, str):
        raise TypeError(f"env_id: expected a string, got {type(env_id).__name__}")
    module, _, name = env_id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"env_id: cannot import the module of {env_id!r}: {error}") from error
    prefix = f"{module}:" if module else ""
    if name in gymnasium.registry:
        return prefix + name
    specs = [spec for spec in gymnasium.registry.values() if _unversioned(spec) == name]
    if not specs:
        raise ValueError(f"env_id: expected a registered environment, got {env_id!r}; {_near(name, module)}")
    return prefix + max(specs, key=lambda spec: spec.version or 0).id


def make_envs(env_id: str, *, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """Vectorized environments that reset in the step that ends an episode (``AutoresetMode.SAME_STEP``).

    Gymnasium's default resets in the step after the end, a transition that no policy took and that every
    statistic would have to leave out. Vectorized implementations are used where they reset in the same step.

    Args:
        env_id: as for ``resolve_env_id``.
        num_envs: how many.

    Raises:
        ValueError: if the environment is unknown or cannot be made; the line names what to install.

    Example:
        >>> make_envs("CartPole", num_envs=4).num_envs
        4
    """
    spec = gymnasium.registry[resolve_env_id(env_id).rpartition(":")[2]]
    try:
        envs = _vectorized(spec, num_envs)
        if envs is None:
            how = {"autoreset_mode": AutoresetMode.SAME_STEP, "copy": False}
            envs = gymnasium.make_vec(spec, num_envs, "sync", how, disable_env_checker=True)
        return envs
    except (gymnasium.error.Error, ImportError) as error:
        remedy = f"; try `pip install {error.name}`" if isinstance(error, ModuleNotFoundError) else ""
        raise ValueError(f"env_id: cannot make {spec.id}: {' '.join(str(error).split())}{remedy}") from error
    except (ValueError, TypeError, OSError) as error:  # of the environment itself, such as a missing file
        raise ValueError(f"env_id: cannot make {spec.id}: {format_error(error)}") from error


def action_clipper(space: spaces.Space[Any]) -> Callable[[Array], Array]:
    """A function that clips a policy's actions [B, *act] to the space's bounds, or shifts them by its start.

    Example:
        >>> action_clipper(spaces.Box(-1, 1, (1,)))(np.array([[3.0]]))
        array([[1.]], dtype=float32)
    """
    if isinstance(space, spaces.Box):
        low, high, dtype = space.low, space.high, space.dtype
        return lambda actions: np.clip(actions, low, high).astype(dtype, copy=False)
    start: Array = np.asarray(getattr(space, "start", 0))
    return (lambda actions: actions + start) if start.any() else (lambda actions: actions)


class SameStepCartPole(CartPoleVectorEnv):
    """Gymnasium's vectorized CartPole, reset in the step that ends an episode."""

    state: Any  # an array once reset

    metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As in Gymnasium; ``info["final_obs"]`` holds the last observations of the episodes that ended."""
        observations, rewards, terminated, truncated, info = super().step(action)
        ended = self.prev_done
        if ended.any():
            info = {"final_obs": observations.copy(), "_final_obs": ended}
            self.state[:, ended] = self.np_random.uniform(self.low, self.high, size=(4, int(ended.sum())))
            self.steps[ended] = 0
            observations[ended] = self.state.T[ended]
            self.prev_done = ended & False  # nothing is left to reset in the next step
        return observations, rewards, terminated, truncated, info


def _vectorized(spec: EnvSpec, num_envs: int) -> VectorEnv[Any, Any, Any] | None:
    if spec.vector_entry_point is None:
        return None
    if str(spec.vector_entry_point).endswith(":CartPoleVectorEnv"):
        spec = dataclasses.replace(spec, vector_entry_point=f"{__name__}:SameStepCartPole")
    envs = gymnasium.make_vec(spec, num_envs)
    if envs.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP:
        return envs
    envs.close()
    return None


def _unversioned(spec: EnvSpec) -> str:
    return f"{spec.namespace}/{spec.name}" if spec.namespace else spec.name


def _near(name: str, module: str) -> str:
    """The end of an error message: similar names, whatever their case and version, or what to do."""
    by_key: dict[str, str] = {}
    for spec in sorted(gymnasium.registry.values(), key=lambda spec: spec.version or 0):
        by_key[_unversioned(spec).casefold()] = spec.id  # the newest version stays
    key = name.casefold().rpartition("-v")[0] if "-v" in name else name.casefold()
    near = difflib.get_close_matches(key, by_key, n=3)
    if near:
        return f"near: {', '.join(by_key[match] for match in near)}"
    return f"register it in {module}" if module else "name its module too (my_envs:MyEnv-v0), or install its package"
