import random
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from puffer_callbacks.measure.forward_pass import isolation as probe
from puffer_callbacks.measure.forward_pass.activations import activations
from puffer_callbacks.measure.forward_pass.isolation import isolated, preserved_random_state


class Restless(nn.Module):
    """A module whose forward pass changes all that a forward pass can change."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)
        self.linear = nn.Linear(3, 3)
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("late", None)
        self.hidden = torch.zeros(2)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.cache = x
        self.seen += 1
        self.hidden.add_(1.0)
        self.late = torch.ones(1)
        self.modes = [part.training for part in self.modules()]
        return self.linear(self.drop(self.norm(x))) + torch.rand(1) + random.random() + np.random.rand()


def state(module):
    tensors = {name: value.clone() for name, value in module.state_dict().items()}
    plain = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return tensors, plain, module.hidden.clone()


def same(a, b):
    (tensors_a, plain_a, hidden_a), (tensors_b, plain_b, hidden_b) = a, b
    assert tensors_a.keys() == tensors_b.keys()
    assert all(torch.equal(tensors_a[name], tensors_b[name]) for name in tensors_a)
    assert plain_a.keys() == plain_b.keys()
    assert all(plain_a[name] is plain_b[name] for name in plain_a)
    return torch.equal(hidden_a, hidden_b)


def test_the_modules_state_is_restored():
    module = Restless()
    module.norm.eval()  # a mixture of modes, as when a part is frozen
    module.linear(torch.ones(1, 3)).sum().backward()
    before, modes = state(module), [part.training for part in module.modules()]
    gradients = {name: (p.grad, None if p.grad is None else p.grad.clone()) for name, p in module.named_parameters()}
    with isolated(module):
        output = module(torch.randn(4, 3))
        assert not any(module.modes) and not output.requires_grad
    assert same(state(module), before)
    assert [part.training for part in module.modules()] == modes
    for name, parameter in module.named_parameters():
        there, copy = gradients[name]
        assert parameter.grad is there and (there is None or torch.equal(there, copy))


def test_the_modules_state_is_restored_after_an_exception():
    module = Restless()
    before = state(module)
    with pytest.raises(RuntimeError), isolated(module):
        module(torch.randn(4, 3))
        module(torch.randn(4, 5))
    assert same(state(module), before)
    assert all(part.training for part in module.modules()) and torch.is_grad_enabled()


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_random_numbers_are_unchanged():
    module = Restless()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draws()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with isolated(module):
        draws()
        module(torch.randn(2, 3))
    assert draws() == expected
    with pytest.raises(KeyError), preserved_random_state():
        after = draws()
        raise KeyError
    assert draws() == after


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_random_numbers_of_an_accelerator_are_unchanged():
    torch.cuda.manual_seed_all(1)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed_all(1)
    with preserved_random_state():
        torch.rand(5, device="cuda")
    assert torch.equal(torch.rand(3, device="cuda"), expected)


def test_eval_is_not_called():
    class Merging(nn.Linear):
        def train(self, mode=True):
            raise AssertionError("weights would be merged here")

    module = Merging(2, 2)
    with isolated(module):
        assert not module.training
    assert module.training


def test_hooks_are_unchanged():
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    calls = Counter()
    module[0].register_forward_hook(lambda *_: calls.update(["hook"]))
    hooks = [dict(part._forward_hooks) for part in module.modules()]
    with isolated(module):
        module(torch.ones(1, 2))
    assert [dict(part._forward_hooks) for part in module.modules()] == hooks
    assert calls["hook"] == 1


def test_a_compiled_module_runs_eagerly_and_is_not_recompiled():
    compilations = []

    def backend(graph, inputs):
        compilations.append(graph)
        return graph.forward

    class CountsCalls(nn.Linear):
        compiling = True

        def forward(self, x):
            self.compiling = torch.compiler.is_compiling()
            return super().forward(x)

    module = torch.compile(CountsCalls(2, 2), backend=backend)
    module(torch.ones(3, 2)).sum().backward()
    before = len(compilations)
    with isolated(module):
        module(torch.ones(5, 2))
    module(torch.ones(3, 2)).sum().backward()
    assert len(compilations) == before > 0
    assert module.training and module._orig_mod.training


def test_a_scripted_modules_mode_is_restored():
    with pytest.warns((DeprecationWarning, FutureWarning), match="jit.script"):  # the second from torch 2.14 on
        module = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    with isolated(module):
        assert not module.training and torch.equal(module(torch.ones(1, 2)), module(torch.ones(1, 2)))
    assert all(part.training for part in module.modules())


def test_a_changed_tensor_too_large_to_copy_is_named(monkeypatch):
    monkeypatch.setattr(probe, "LARGEST_COPY", 4)
    module = Restless()
    with pytest.raises(RuntimeError, match="changed 'hidden' in place"), isolated(module):
        module(torch.randn(4, 3))
    assert module.training


def test_attributes_that_change_places_are_put_back():
    class Swaps(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("state", torch.zeros(1))
            self.previous = torch.ones(1)

        def forward(self, x):
            state, previous = self.state, self.previous
            del self.state
            self.previous = state
            self.register_buffer("state", previous)
            return x

    module = Swaps().eval()
    with isolated(module):
        module(torch.zeros(1))
    assert (module.state.item(), module.previous.item()) == (0.0, 1.0)


def test_a_leaf_without_the_layer_that_it_could_have_has_activations():
    class Leaf(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()
            self.act = None

        def forward(self, x):
            return 2 * x

    found = activations(nn.Sequential(nn.Linear(2, 3), Leaf()), torch.ones(4, 2))
    assert list(found) == ["0", "1"] and torch.equal(found["1"], 2 * found["0"])
