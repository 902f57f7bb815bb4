import io
import math

import lightning.pytorch as pl
import pytest
import torch
from PIL import Image as Pillow
from torch import nn
from torch.nn import functional as F

from puffer_callbacks import Image, MetricsCallback
from puffer_callbacks.callbacks.attention import AttentionCallback
from tests.support.models import Supervised, losses
from tests.support.reading import accumulator
from tests.support.warned import warned


class Batches:
    """Random sequences and their targets, the same each time."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __iter__(self):
        generator = torch.Generator().manual_seed(0)
        for _ in range(self.count):
            yield torch.randn(12, 5, 16, generator=generator), torch.randn(12, generator=generator)


class Reader(pl.LightningModule):
    """A small transformer that is trained on random sequences."""

    def __init__(self, *, batches=8):
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)
        self.norm = nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 1)
        self.batches = batches
        self.draws = []

    def forward(self, x):
        return self.head(self.norm(self.encoder(x).mean(1))).squeeze(-1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.draws.append(torch.rand(1).item())
        return {"loss": F.mse_loss(self(x), y)}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)

    def train_dataloader(self):
        return Batches(self.batches)


LAYERS = ["encoder.layers.0.self_attn", "encoder.layers.1.self_attn"]


def run(quiet_trainer, *callbacks, logger=False, module=None, **arguments):
    torch.manual_seed(1)
    module = module or Reader()
    quiet_trainer(logger=logger, callbacks=list(callbacks), **arguments).fit(module)
    return module


def test_every_layer_has_a_picture_and_its_heads_entropies(quiet_trainer, memory_logger):
    run(quiet_trainer, AttentionCallback(every_n_steps=4), logger=memory_logger)
    for layer in LAYERS:
        tag = f"attention/{layer}"
        assert [step for step, _ in memory_logger.series(tag)] == [4, 8]
        assert isinstance(memory_logger.series(tag)[0][1], Image)
        heads = [memory_logger.series(f"{tag}/entropy/head_{i}")[0][1] for i in range(2)]
        assert memory_logger.series(f"{tag}/entropy")[0][1] == pytest.approx(sum(heads) / 2, rel=1e-6)
        assert all(0 < entropy < math.log(5) + 1e-6 for entropy in heads)


def test_the_probe_is_the_first_batch_whatever_becomes_of_it(quiet_trainer, memory_logger):
    class Overwrites(Reader):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            batch[0].zero_()

    module = run(quiet_trainer, AttentionCallback(8), logger=memory_logger, module=Overwrites())
    first = next(iter(Batches(1)))[0][:8]
    attend = module.eval().encoder.layers[0].self_attn
    with torch.no_grad():
        weights = attend(first, first, first, average_attn_weights=False)[1]
    expected = torch.special.entr(weights).sum(-1).mean().item()
    assert memory_logger.series(f"attention/{LAYERS[0]}/entropy")[0][1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("probe", [torch.zeros(2, 7, 16), (torch.zeros(2, 7, 16),), lambda m: m(torch.zeros(2, 7, 16))])
def test_a_given_probe_is_used(quiet_trainer, memory_logger, probe):
    run(quiet_trainer, AttentionCallback(8, probe=probe), logger=memory_logger)
    assert "queries 7 (down)" in memory_logger.series(f"attention/{LAYERS[0]}")[0][1].caption


def test_tensorboard_shows_the_maps(quiet_trainer, tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger

    run(quiet_trainer, AttentionCallback(4), logger=TensorBoardLogger(tmp_path, name="", version=""))
    events = accumulator(tmp_path).Images(f"attention/{LAYERS[0]}")
    assert [event.step for event in events] == [4, 8]
    assert Pillow.open(io.BytesIO(events[0].encoded_image_string)).size == (events[0].width, events[0].height)


def test_a_compiled_module_is_probed_through_its_original(quiet_trainer, memory_logger):
    compilations = []

    def backend(graph, inputs):
        compilations.append(graph)
        return graph.forward

    module = Reader()
    module.encoder = torch.compile(module.encoder, backend=backend)
    run(quiet_trainer, AttentionCallback(4), logger=memory_logger, module=module)
    assert [step for step, _ in memory_logger.series(f"attention/{LAYERS[0]}")] == [4, 8]
    assert len(compilations) == 1


def test_a_model_without_attention_is_one_warning_and_training_goes_on(quiet_trainer, memory_logger):
    class Plain(Supervised):
        def forward(self, x):
            return self.layer(torch.ones(1, 3))

    with warned() as reported:
        module = Plain(losses(*[1.0] * 6))
        run(quiet_trainer, AttentionCallback(2), MetricsCallback(2), logger=memory_logger, module=module)
    assert len(reported) == 1 and "AttentionCallback" in reported[0]
    assert (
        "expected attention, but Plain attends to nothing" in reported[0]
        and "leave the attention maps out" in reported[0]
    )
    assert len(memory_logger.series("train/loss")) == 3


def test_a_probe_that_the_model_refuses_is_one_warning_and_training_goes_on(quiet_trainer, memory_logger):
    with warned() as reported:
        run(
            quiet_trainer,
            AttentionCallback(2, probe=torch.zeros(2, 3)),
            MetricsCallback(2),
            logger=memory_logger,
        )
    assert (
        len(reported) == 1
        and "expected a batch that Reader takes" in reported[0]
        and "Give as the probe" in reported[0]
    )
    assert len(memory_logger.series("train/loss")) == 4


def test_a_picture_beyond_its_budget_is_scaled_down_not_dropped(quiet_trainer, memory_logger):
    run(quiet_trainer, AttentionCallback(8, max_bytes=1_000), logger=memory_logger)
    assert "scaled down from" in memory_logger.series(f"attention/{LAYERS[0]}")[0][1].caption


@pytest.mark.parametrize("argument", ["every_n_steps", "num_samples", "max_bytes"])
def test_numbers_below_one_are_refused(argument):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        AttentionCallback(**{argument: 0})
