import lightning.fabric.loggers as fabric
import lightning.pytorch.loggers as lightning
import pytest

from puffer_callbacks import Axes, ConsoleLogger, MemoryLogger, MetricsCallback, Writer, writer_for
from puffer_callbacks.writers.csv.writer import CSVWriter
from puffer_callbacks.writers.fallback import FallbackWriter, ValuesWriter
from puffer_callbacks.writers.tensorboard.writer import TensorBoardWriter
from puffer_callbacks.writers.wandb.writer import WandbWriter
from tests.support.models import Supervised, losses

other = pytest.importorskip("pytorch_lightning.loggers")


@pytest.mark.parametrize(
    "package", [lightning, fabric, other], ids=["lightning.pytorch", "lightning.fabric", "pytorch_lightning"]
)
def test_loggers_of_every_namespace_have_their_writer(tmp_path, package):
    assert type(writer_for(package.TensorBoardLogger(tmp_path))) is TensorBoardWriter
    assert type(writer_for(package.CSVLogger(tmp_path))) is CSVWriter


def test_wandb_of_both_namespaces(tmp_path):
    for package in (lightning, other):
        assert type(writer_for(package.WandbLogger(save_dir=tmp_path, offline=True))) is WandbWriter


def test_a_subclass_has_the_writer_of_its_base(tmp_path):
    for base in (lightning.TensorBoardLogger, other.TensorBoardLogger):
        mine = type("Mine", (base,), {})
        assert type(writer_for(mine(tmp_path))) is TensorBoardWriter


def test_our_own_take_rows_as_they_are():
    assert type(writer_for(ConsoleLogger())) is type(writer_for(MemoryLogger())) is ValuesWriter


def test_any_other_logger_falls_back():
    class Other(lightning.Logger):
        name, version = "other", 0

        def log_metrics(self, metrics, step=None): ...
        def log_hyperparams(self, params, *_, **__): ...

    assert type(writer_for(Other())) is FallbackWriter


@pytest.mark.parametrize("what", [None, 1, "tensorboard", object()])
def test_what_is_no_logger_is_refused(what):
    with pytest.raises(TypeError, match=r"expected a Lightning logger \(with log_metrics\), got"):
        writer_for(what)


def test_a_writer_of_one_s_own_is_used(quiet_trainer):
    class MyLogger(lightning.Logger):
        name, version = "mine", 0

        def __init__(self):
            super().__init__()
            self.calls = []

        def log_metrics(self, metrics, step=None): ...
        def log_hyperparams(self, params, *_, **__): ...

    @writer_for.register(MyLogger)
    class MyWriter(Writer):
        def write(self, values, axes):
            self.logger.calls.append((self.step(axes), values["train/loss"]))

        def flush(self):
            self.logger.calls.append("flush")

        def close(self):
            self.logger.calls.append("close")

    logger = MyLogger()
    quiet_trainer(logger=logger, callbacks=[MetricsCallback(2)]).fit(Supervised(losses(*range(4))))
    assert [call for call in logger.calls if call != "flush"] == [(2, 0.5), (4, 2.5), "close"]


def test_a_writer_needs_only_write():
    class Least(Writer):
        def write(self, values, axes):
            self.written = self.step(axes)

    writer = Least(logger=None)
    writer.x_axis = "env_steps"
    writer.write({}, Axes(7, 3, 0.0))
    writer.flush()
    writer.close()
    assert writer.written == 7
    writer.write({}, Axes(None, 3, 0.0))
    assert writer.written == 3
    with pytest.raises(TypeError, match="abstract"):
        Writer(logger=None)
