"""A checkpoint that does not fit the module costs the run that it came from nothing."""

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from puffer_callbacks import default_callbacks
from tests.support.reading import tensorboard_scalars

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Module(pl.LightningModule):
    def __init__(self, inputs: int = 3, *, groups: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters(ignore="groups")  # Lightning's CSVLogger logs them before it loads an optimizer
        self.groups = groups
        self.layer = torch.nn.Linear(inputs, 1)

    def training_step(self, batch, batch_idx):
        return {"loss": self.layer(torch.ones(1, self.hparams["inputs"])).square().sum()}

    def configure_optimizers(self):
        one, two = [self.layer.weight], [self.layer.bias]
        parts = [one + two] if self.groups == 1 else [one, two]
        return torch.optim.SGD([{"params": part} for part in parts], lr=0.01)

    def train_dataloader(self):
        return range(100)


def fit(quiet_trainer, folder: Path, module: Module, **arguments) -> None:
    loggers = [TensorBoardLogger(folder, name="tb", version=""), CSVLogger(folder, name="csv", version="")]
    keep = ModelCheckpoint(folder, filename="half", every_n_train_steps=60)
    epochs = 1 + bool(arguments)
    trainer = quiet_trainer(
        logger=loggers, callbacks=[*default_callbacks(), keep], max_epochs=epochs, enable_checkpointing=True
    )
    trainer.fit(module, **arguments)


def logged(folder: Path) -> tuple[object, ...]:
    """All that readers find."""
    texts = [(folder / name).read_text() for name in ("csv/metrics.csv", "csv/hparams.yaml", "tb/hparams.yaml")]
    return tensorboard_scalars(folder / "tb"), EventAccumulator(str(folder / "tb")).Reload().Tags()["tensors"], *texts


@pytest.mark.parametrize(
    ("module", "error"), [(Module(4), "size mismatch"), (Module(groups=2), "different number of parameter groups")]
)
def test_a_module_or_optimizer_that_does_not_fit(quiet_trainer, tmp_path, module, error):
    fit(quiet_trainer, tmp_path, Module())
    before = logged(tmp_path)
    with pytest.raises((RuntimeError, ValueError), match=error):
        fit(quiet_trainer, tmp_path, module, ckpt_path=tmp_path / "half.ckpt")
    assert logged(tmp_path) == before
    fit(quiet_trainer, tmp_path, Module(), ckpt_path=tmp_path / "half.ckpt")  # and the right one continues
    assert [step for step, *_ in logged(tmp_path)[0]["train/loss"]] == [50, 100, 150, 200]
