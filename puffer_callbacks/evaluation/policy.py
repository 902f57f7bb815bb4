"""The policy of any module."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from puffer_callbacks.evaluation.actions import to_action

METHODS = ("act", "get_action", "predict", "forward_eval", "predict_step", "policy", "actor", "forward")
"""The methods that may return an action, in order; ``predict_step`` only if the module overrides it."""


class Policy:
    """A policy that maps observations of one environment to the most likely actions of a module.

    It calls the first of ``METHODS`` that the module has, with one argument: the observation as a batch of one,
    as tensors on the module's device; if that fails, as NumPy arrays, then unbatched. ``to_action`` converts
    the output: an action, logits, a distribution, a tuple that starts with one of them, ….

    Args:
        module: any module.
        action_space: the environment's Gymnasium action space.

    Raises:
        ValueError: on the first call, if no output of the module is an action of the space.

    Example:
        >>> from gymnasium.spaces import Discrete
        >>> module = nn.Linear(4, 2)
        >>> Policy(module, Discrete(2))(np.zeros(4)) in (0, 1)
        True
    """

    def __init__(self, module: nn.Module, action_space: Any) -> None:
        self._module = module
        self._space = action_space
        self._name, self._method = _method(module)
        self._form: Callable[[Any], Any] | None = None

    def __call__(self, observation: Any) -> Any:
        """The action for one observation, in the format of the environment."""
        if self._form is None:
            return self._find_form(observation)
        return to_action(self._method(self._form(observation)), self._space)

    def _find_form(self, observation: Any) -> Any:
        """Find the form of an observation that the module accepts, and return the action for it."""
        refused: Exception | None = None
        for form in (self._tensors, _batch, self._on_device, lambda each: each):
            try:
                action = to_action(self._method(form(observation)), self._space)
            except Exception as error:  # modules raise anything
                refused = refused or error
                continue
            self._form = form
            return action
        assert refused is not None
        raise ValueError(
            f"expected an action for {self._space} from {type(self._module).__name__}.{self._name}, "
            f"got {type(refused).__name__}: {refused}. Give the module a method act(observations)"
        ) from refused

    def _tensors(self, observation: Any) -> Any:
        return self._on_device(_batch(observation))

    def _on_device(self, observation: Any) -> Any:
        like = next(self._module.parameters(), torch.empty(0))
        return _map(lambda array: _tensor(array, like), observation)


def _method(module: nn.Module) -> tuple[str, Callable[..., Any]]:
    for name in METHODS[:-1]:
        method = getattr(module, name, None)
        if callable(method) and not (name == "predict_step" and _is_lightning(method)):
            return name, _with_one_argument(method, name)
    return "forward", module


def _with_one_argument(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The method as a function of the observation, deterministic if it has that option."""
    parameters = inspect.signature(method).parameters
    if name == "predict_step" and len(parameters) > 1:
        return lambda observation: method(observation, 0)
    if name == "forward_eval" and "state" in parameters:  # a recurrent policy stores its state there
        return partial(method, state={"lstm_h": None, "lstm_c": None})
    return partial(method, deterministic=True) if "deterministic" in parameters else method


def _is_lightning(method: Callable[..., Any]) -> bool:
    return method.__module__.partition(".")[0] in ("lightning", "pytorch_lightning")


def _batch(observation: Any) -> Any:
    return _map(lambda array: array[None], observation)


def _tensor(array: Any, like: Tensor) -> Tensor:
    tensor = torch.as_tensor(array, device=like.device)
    return tensor.to(like.dtype) if tensor.is_floating_point() and like.is_floating_point() else tensor


def _map(change: Callable[[Any], Any], observation: Any) -> Any:
    if isinstance(observation, Mapping):
        return {name: _map(change, value) for name, value in observation.items()}
    if isinstance(observation, tuple | list):
        return tuple(_map(change, value) for value in observation)
    array = np.asarray(observation)
    return change(array) if array.dtype.kind in "biuf" else observation
