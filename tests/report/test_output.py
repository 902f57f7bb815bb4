"""Figures as files, and the live view in a real kernel."""

import math
from pathlib import Path

import nbformat
import pytest
import torch
from matplotlib.figure import Figure
from nbclient import NotebookClient

import puffer_callbacks
from puffer_callbacks import Histogram
from puffer_callbacks.report import LiveLogger, save_figures
from tests.support.runs import run_of


def test_each_figure_is_saved_as_png_and_pdf(tmp_path):
    points = [(step, Histogram.of(torch.randn(10))) for step in range(3)]
    runs = [
        run_of({"train/reward": [(0, 1.0), (9, 2.0)]}, name=name, histograms={"weights/a": points}) for name in "ab"
    ]
    files = save_figures(runs, tmp_path / "figures")
    assert {file.stem for file in files} == {
        "diagnostics",
        "compare_train_reward",
        "train_reward",
        *(f"weights_a_{run}_{kind}" for run in "ab" for kind in ("heatmap", "ridges")),
    }
    heads = {file.suffix: file.read_bytes()[:4] for file in files}
    assert heads == {".png": b"\x89PNG", ".pdf": b"%PDF"}


def test_each_figure_has_a_file_of_its_own_whatever_its_tag(tmp_path):
    tags = ["a/b", "a_b", "a b", "A/B", "../../up", "a$\\frac$b $x$", "é", "x" * 300, "%", "tab\tnew\nline"]
    run = run_of({tag: [(0, float(place)), (9, 1.0 - place)] for place, tag in enumerate(tags)})
    files = save_figures([run], tmp_path / "figures")
    assert len({str(file).lower() for file in files}) == len(files) == 2 * len(tags)
    assert sorted(tmp_path.rglob("*.p*")) == sorted(files)


def test_overlaid_runs_have_a_legend(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    runs = [run_of({"train/loss": [(0, 1.0), (9, 2.0)]}, name=name) for name in "ab"]
    save_figures(runs, tmp_path)
    assert [[text.get_text() for text in figure.legends[0].get_texts()] for figure in drawn] == [["a", "b"]] * 2


def test_a_curve_without_a_finite_value_in_any_of_several_runs_has_no_figure(tmp_path):
    runs = [run_of({"train/loss": [(0, 1.0), (9, 2.0)], "x/y": [(0, math.nan), (9, math.nan)]}, name=n) for n in "ab"]
    assert {file.stem for file in save_figures(runs, tmp_path)} == {"train_loss"}


def saved(monkeypatch, *runs):
    """The names of the figures of these runs, which are not drawn."""
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    return {file.stem for file in save_figures(runs, "figures")}


REWARDS, GONE = [(0, 1.0), (9, 2.0)], [(0, math.nan), (9, math.nan)]


def test_a_run_whose_return_is_nan_throughout_has_its_other_figures(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert saved(monkeypatch, run_of({"train/reward": GONE, "mine": REWARDS})) == {"mine"}
    seeds = [run_of({"train/reward": each}, name=str(at)) for at, each in enumerate((GONE, REWARDS, REWARDS))]
    assert "compare_train_reward" in saved(monkeypatch, *seeds)
    assert "compare_train_reward" not in saved(monkeypatch, *seeds[:2])


@pytest.mark.parametrize("settings", [{}, {"lr": 0.1}])
def test_runs_without_steps_in_common_are_not_compared(monkeypatch, tmp_path, settings):
    """As a run and another log in which it goes on."""
    monkeypatch.chdir(tmp_path)
    later = [(step + 10, reward) for step, reward in REWARDS]
    runs = [
        run_of({"train/reward": each}, name=name, hyperparameters=settings)
        for name, each in (("a", REWARDS), ("b", later))
    ]
    assert saved(monkeypatch, *runs) == {"diagnostics", "train_reward"}
    others = [run_of({"train/reward": REWARDS}, name=name, hyperparameters={"lr": 0.2}) for name in "cd"]
    if settings:
        assert saved(monkeypatch, *runs, *others) == {"diagnostics", "compare_train_reward", "train_reward"}


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"figures: expected a folder that can be written, got '.*file/figures'"):
        save_figures([run_of({"train/reward": [(0, 1.0), (9, 2.0)]})], tmp_path / "file" / "figures")


def test_the_live_view_follows_a_run_in_place(tmp_path, monkeypatch):
    monkeypatch.setenv(
        "PYTHONPATH", str(Path(puffer_callbacks.__file__).parents[1])
    )  # the kernel's package is this one
    cell = """
import warnings; warnings.filterwarnings("ignore")
import lightning.pytorch as pl
from puffer_callbacks import default_callbacks
from puffer_callbacks.ppo import PPO
from puffer_callbacks.report import LiveLogger
view = LiveLogger(every_seconds=0)
trainer = pl.Trainer(accelerator="cpu", max_epochs=-1, logger=view, callbacks=default_callbacks(),
                     enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False)
trainer.fit(PPO("CartPole-v1", total_timesteps=512, num_envs=4, num_steps=64, batch_size=64))
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for output in notebook.cells[0].outputs if output.output_type == "display_data"]
    assert len(shown) == 1
    assert "step 512" in shown[0].data["text/html"]
    assert "train/reward" in shown[0].data["text/html"]


def test_outside_a_notebook_the_live_view_only_keeps_values(capsys):
    logger = LiveLogger(["train/*"])
    logger.log_metrics({"train/loss": 0.5}, step=3)
    assert logger.series("train/loss") == [(3, 0.5)]
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="expected every_seconds of at least 0, got -1"):
        LiveLogger(every_seconds=-1)
