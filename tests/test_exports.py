import importlib
import pkgutil

import lightning.pytorch as pl
import pytest

import puffer_callbacks

FOUNDATION = {
    *("PufferCallback", "Recorder", "MetricsCallback", "RolloutCallback", "HistogramCallback"),
    *("HyperparametersCallback", "default_callbacks", "ConsoleLogger", "MemoryLogger"),
    *("Rollout", "Axes", "Every", "Histogram", "Image", "Video", "Text", "Hyperparameters"),
    *("log", "emit", "Writer", "writer_for"),
}
CONTRACT = FOUNDATION | {
    *("GradientCallback", "ImageCallback", "AttentionCallback", "VideoCallback"),
    *("PlasticityCallback", "HealthCallback", "Finding"),
}


def test_names_are_those_of_the_contract_that_are_built():
    exported = set(puffer_callbacks.__all__)
    assert exported >= FOUNDATION
    assert exported <= CONTRACT


def test_the_list_is_sorted_and_true():
    assert puffer_callbacks.__all__ == sorted(set(puffer_callbacks.__all__))
    for name in puffer_callbacks.__all__:
        assert getattr(puffer_callbacks, name) is not None


def test_every_public_name_is_documented_with_an_example():
    for name in puffer_callbacks.__all__:
        public = getattr(puffer_callbacks, name)
        assert public.__doc__ and public.__doc__.strip(), name
        assert "Example:" in public.__doc__, name


def test_callbacks_and_loggers_are_lightning_s():
    for name in puffer_callbacks.__all__:
        if name.endswith("Callback") or name == "Recorder":
            assert issubclass(getattr(puffer_callbacks, name), pl.Callback)
        if name.endswith("Logger"):
            assert issubclass(getattr(puffer_callbacks, name), pl.loggers.Logger)


MODULES = [module.name for module in pkgutil.walk_packages(puffer_callbacks.__path__, "puffer_callbacks.")]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_every_module_can_be_imported(name):
    assert importlib.import_module(name).__doc__, f"{name} does not say what it is"
