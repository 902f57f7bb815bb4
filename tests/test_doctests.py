"""The examples in the docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import puffer_callbacks

MODULES = [module.name for module in pkgutil.walk_packages(puffer_callbacks.__path__, "puffer_callbacks.")]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0
