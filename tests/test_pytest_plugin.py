import pytest

from puffer_callbacks import MemoryLogger, MetricsCallback
from tests.support.models import Supervised, losses


def test_the_fixture_is_there_without_an_import(memory_logger, quiet_trainer):
    assert isinstance(memory_logger, MemoryLogger)
    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(2)]).fit(Supervised(losses(1.0, 3.0)))
    assert memory_logger.series("train/loss") == [(2, 2.0)]


@pytest.mark.parametrize("_", [1, 2])
def test_each_test_has_a_fresh_one(memory_logger, _):
    assert memory_logger.tags == []
    memory_logger.log_metrics({"a": 1.0}, step=1)


# In processes of their own: pytest run within this one empties sys.modules for a moment, in which another thread
# may import a second copy of what is built in.
def test_it_is_offered_to_every_test_suite(pytester):
    pytester.makepyfile(
        """
        def test_notebook_like(memory_logger):
            memory_logger.log_metrics({"train/loss": 0.5}, step=10)
            assert memory_logger.series("train/loss") == [(10, 0.5)]
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_a_test_leaves_nothing_in_the_working_folder(pytester, monkeypatch):
    script = pytester.makepyfile(
        """
        import pytest
        from lightning.pytorch import Trainer
        from puffer_callbacks import default_callbacks
        from lightning.pytorch.demos.boring_classes import BoringModel

        class Module(BoringModel):
            def training_step(self, batch, batch_idx):
                self.log("train/loss", loss := self.layer(batch).square().mean())
                return loss

        @pytest.mark.filterwarnings("ignore")
        def test_my_module_learns(memory_logger, tmp_path):
            callbacks = default_callbacks()
            Trainer(max_epochs=4, logger=memory_logger, callbacks=callbacks).fit(Module())
            assert memory_logger.series("train/loss")[-1][1] > 0
            assert list(tmp_path.rglob("*.ckpt"))
        """
    )
    working_folder = pytester.mkdir("work")
    monkeypatch.chdir(working_folder)
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", script).assert_outcomes(passed=1)
    assert not list(working_folder.iterdir())
