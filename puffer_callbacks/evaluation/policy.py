"""What a module would do: an action out of any module, where nothing is known about it."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from puffer_callbacks.evaluation.actions import to_action

METHODS = ("act", "get_action", "predict", "forward_eval", "predict_step", "policy", "actor", "forward")
"""Where an action is looked for, in this order; ``predict_step`` only where the module has its own."""


class Policy:
    """Takes observations of one environment and gives the likeliest actions, by whatever the module offers.

    It asks the first of ``METHODS`` that the module has, with one argument: the observation as a batch of
    one, as tensors on the module's device, and where that is refused as NumPy arrays, then without the
    batch. What comes back is read by ``to_action``: an action, logits, a distribution, a tuple that begins
    with one of them, ….

    Args:
        module: any module.
        action_space: the environment's Gymnasium space of actions.

    Raises:
        ValueError: on the first call, if nothing that the module gives is an action of the space.

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
        """The action for one observation, as the environment takes it."""
        if self._form is None:
            return self._settle(observation)
        return to_action(self._method(self._form(observation)), self._space)

    def _settle(self, observation: Any) -> Any:
        """Find the form of an observation that the module understands."""
        refused: Exception | None = None
        for form in (self._tensors, _batch, self._single, lambda each: each):
            try:
                action = to_action(self._method(form(observation)), self._space)
            except Exception as error:  # whatever a module of this kind raises
                refused = refused or error
                continue
            self._form = form
            return action
        assert refused is not None
        raise ValueError(
            f"expected an action for {self._space} from {type(self._module).__name__}.{self._name}, "
            f"got {type(refused).__name__}: {refused}. Give the module a method act(observations) for it"
        ) from refused

    def _tensors(self, observation: Any) -> Any:
        return self._on_device(_batch(observation))

    def _single(self, observation: Any) -> Any:
        return self._on_device(observation)

    def _on_device(self, observation: Any) -> Any:
        like = next(self._module.parameters(), torch.empty(0))
        return _map(lambda array: _tensor(array, like), observation)


def _method(module: nn.Module) -> tuple[str, Callable[..., Any]]:
    for name in METHODS[:-1]:
        method = getattr(module, name, None)
        if callable(method) and not (name == "predict_step" and _is_lightning(method)):
            return name, _asked(method, name)
    return "forward", module


def _asked(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The method with one argument left, and the likeliest action asked for where it can be."""
    parameters = inspect.signature(method).parameters
    if name == "predict_step" and len(parameters) > 1:
        return lambda observation: method(observation, 0)
    if name == "forward_eval" and "state" in parameters:  # a recurrent policy keeps its state in here
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
