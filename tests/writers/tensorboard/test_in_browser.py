"""TensorBoard in a browser: what people see of a run, not what its files hold."""

import html

import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import default_callbacks
from puffer_callbacks.values.vocabulary import describe
from tests.support.browser import CHROMIUM, page_text
from tests.support.models import Agent
from tests.support.tensorboard_server import served

SCALARS = ("loss", "policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "explained_variance")
CHARTS = (
    *("Return of the last 100 episodes", "Return of a rollout: median, p10 to p90"),
    *("Policy loss", "Whole loss", "Gradient norm before the clip"),
    *("KL [nats]: good 0.001 to 0.02", "Clip fraction: good 0.05 to 0.3", "Entropy [nats]: falls slowly"),
    *("Value loss", "Explained variance: rises to 1", "Env steps per second"),
)
DESCRIBED = ("diagnostics/approx_kl", "diagnostics/clip_fraction", "diagnostics/explained_variance")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="expected Chromium at /usr/bin/chromium, found none")


@pytest.fixture
def tensorboard(quiet_trainer, tmp_path):
    """The address of a TensorBoard that shows a run."""
    logger = TensorBoardLogger(tmp_path / "run", name="", version="")
    callbacks = default_callbacks(metrics=4, histograms=4, gradients=4)
    quiet_trainer(logger=logger, callbacks=callbacks).fit(Agent([dict.fromkeys(SCALARS, at / 8) for at in range(16)]))
    with served(tmp_path / "run") as address:
        yield address


def test_the_first_screen_has_its_charts_and_descriptions(tensorboard, tmp_path):
    shown = page_text(f"{tensorboard}/#custom_scalars", tmp_path / "charts", until=CHARTS[-1]).splitlines()
    assert set(CHARTS) <= set(shown)
    assert {"Returns", "Losses", "Policy health", "Critic", "Speed"} <= set(shown)
    described = page_text(f"{tensorboard}/#scalars", tmp_path / "scalars", until=str(describe(DESCRIBED[-1])))
    for tag in DESCRIBED:
        assert str(describe(tag)) in html.unescape(described)
