"""The page of real runs, opened in a browser without a network."""

import base64
import json
import re
import shutil
import subprocess
from array import array

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import Histogram, Image, Video, default_callbacks
from puffer_callbacks.ppo import PPO
from puffer_callbacks.report import report
from puffer_callbacks.runs import read_run
from tests.support.runs import finding, number, run_of

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FINDING = finding(
    message="Entropy fell <fast>.",
    causes=("The entropy coefficient is too small.",),
    remedies=("Raise ent_coef.",),
    evidence=(number("train/entropy", 0.1, 128),),
    first_step=128,
    last_step=256,
)


def data_of(page):
    text = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page, re.DOTALL).group(1)
    return json.loads(text)


def charts_of(page):
    return {chart["tag"]: chart for section in data_of(page)["sections"] for chart in section["charts"]}


def decoded(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def written(tmp_path, runs, **options):
    return report(runs, tmp_path / "report.html", **options).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A run of our own PPO, with pictures and histograms."""
    import lightning.pytorch as pl

    folder = tmp_path_factory.mktemp("ours")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=TensorBoardLogger(folder, name="", version=""),
        callbacks=default_callbacks(histograms=4, images=1),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    trainer.fit(PPO("CartPole-v1", total_timesteps=1024, num_envs=4, num_steps=64, batch_size=64, seed=1))
    return read_run(folder)


@pytest.fixture
def sb3(tmp_path):
    """A run of Stable-Baselines3's PPO."""
    from stable_baselines3 import PPO as TheirPPO
    from stable_baselines3.common.logger import configure

    model = TheirPPO("MlpPolicy", "CartPole-v1", n_steps=128, batch_size=64, n_epochs=1, seed=1, device="cpu")
    model.set_logger(configure(str(tmp_path / "sb3"), ["tensorboard"]))
    model.learn(512)
    return read_run(tmp_path / "sb3")


@pytest.fixture
def pufferlib(tmp_path):
    """A log as PufferLib's newest trainer writes it."""
    path = tmp_path / "173.jsonl"
    rows = [{"agent_steps": 64 * i, "env/episode_return": float(i), "loss/entropy": 1.0 / (i + 1)} for i in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_run(path)


def browse(page, tmp_path):
    """The document after its scripts ran in a headless browser without a network."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000", "--window-size=1280,20000"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, errors


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to open the page in")
@pytest.mark.parametrize("source", ["ours", "sb3", "pufferlib"])
def test_a_browser_draws_the_curves_of_every_kind_of_run(source, request, tmp_path):
    run = request.getfixturevalue(source)
    document, errors = browse(report(run, tmp_path / "report.html", findings=[[FINDING]]), tmp_path)
    assert not errors
    assert 'id="chart-train/reward"' in document
    assert 'id="chart-train/entropy"' in document
    assert document.count('class="uplot') >= 2
    assert document.count("<canvas") >= 2


def test_the_page_needs_nothing_from_outside(ours, tmp_path):
    page = written(tmp_path, ours)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*["']""", page.split("<script")[0])
    assert not re.findall(r"""@import|url\((?!data:)|fetch\(|XMLHttpRequest|import\(""", page)


def test_curves_hold_the_numbers_of_the_log(ours, tmp_path):
    chart = charts_of(written(tmp_path, ours))["train/reward"]
    steps, values = ours.series("train/reward")
    np.testing.assert_array_equal(decoded(chart["curves"][0]["x"], "<f8"), steps)
    np.testing.assert_array_equal(decoded(chart["curves"][0]["mean"], "<f4"), values.astype(np.float32))
    assert chart["unit"] == "reward"


def test_histograms_and_pictures_are_on_the_page(ours, tmp_path):
    page = written(tmp_path, ours)
    actions = charts_of(page)["rollout/actions"]
    assert (actions["values"], actions["bins"]) == ([0.0, 1.0], 2)
    chart = charts_of(page)["rollout/advantages"]
    points = ours.histograms["rollout/advantages"]
    assert decoded(chart["steps"], "<f8").tolist() == [step for step, _ in points]
    assert decoded(chart["shares"], np.uint8).reshape(len(points), chart["bins"]).any(axis=1).all()
    medians = [histogram.quantile(0.5) for _, histogram in points]
    np.testing.assert_allclose(decoded(chart["quantiles"][1], "<f4"), medians, rtol=1e-6)
    assert "data:image/png;base64," in page


def test_hyperparameters_are_listed_and_their_difference_comes_first(ours, tmp_path):
    page = written(tmp_path, ours)
    listed = [f"<code>{value}</code>" for value in ("CartPole-v1", ours.hyperparameters["learning_rate"], 1)]
    assert sorted(listed, key=page.index) == listed  # what people compare first, not the alphabet's first
    assert page.index("of the optimizer and the trainer") < page.index("optimizer/name")
    runs = [
        run_of({"train/reward": [(0, 1.0), (9, 2.0)]}, name=name, hyperparameters={"lr": lr, "gamma": 0.99})
        for name, lr in (("a", 0.1), ("b", 0.2))
    ]
    page = written(tmp_path, runs)
    assert page.index("differing between the runs") < page.index("<code>0.1</code>") < page.index("<code>0.99</code>")
    assert "1 that all runs share" in page
    assert data_of(page)["runs"] == ["a", "b"]


def test_findings_are_shown_and_marked_where_their_evidence_is(ours, tmp_path):
    page = written(tmp_path, ours, findings=[[FINDING]])
    assert "Entropy fell &lt;fast&gt;." in page
    assert "Raise ent_coef." in page
    marks = charts_of(page)["train/entropy"]["marks"]
    assert marks == [{"from": 128, "to": 256, "severity": "critical", "rule": "entropy_collapse"}]
    assert charts_of(page)["train/reward"]["marks"] == []
    assert "The health rules found nothing" in written(tmp_path, ours, findings=[[]])
    assert "health rules" not in written(tmp_path, ours).split("<script")[0].lower()


def test_text_from_a_log_cannot_become_markup(tmp_path):
    nasty = "</script><img src=x onerror=alert(1)>"
    run = run_of({nasty: [(0, 1.0), (1, 2.0)]}, name="<b>", hyperparameters={nasty: nasty})
    page = written(tmp_path, run)
    assert "<img src=x" not in page
    assert page.count("</script>") == 2
    assert nasty in charts_of(page)


def test_a_run_of_a_million_points_fits_in_three_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    noise = torch.randint(0, 255, (64, 160, 210, 3), dtype=torch.uint8).numpy()
    histogram = [(step, Histogram.of(torch.randn(1000))) for step in range(200)]
    run = run_of(
        {},
        histograms={f"weights/{i}": histogram for i in range(80)},
        images={"episodes": [(0, Video(noise))], "observations": [(0, Image(noise[0]))]},
    )
    for i in range(50):
        column = run.contents.column(f"train/{i}")
        column.steps, column.wall_times = array("q", range(20_000)), array("d", range(20_000))
        column.values = array("d", rng.normal(size=20_000))
    page = written(tmp_path, run)
    assert len(page.encode()) <= 3_000_000
    assert len([chart for chart in charts_of(page).values() if "curves" in chart]) == 50


def test_a_run_without_a_single_scalar_is_a_page_too(tmp_path):
    page = written(tmp_path, run_of({}, images={"observations": [(3, Image(np.zeros((8, 8, 3), np.uint8)))]}))
    assert "observations" in page
    assert data_of(page)["sections"] == []


def test_bad_input_is_one_clear_line(tmp_path):
    run = run_of({"train/reward": [(0, 1.0), (9, 2.0)]})
    with pytest.raises(ValueError, match="report: expected at least one run, got none"):
        report([], tmp_path / "report.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"out: expected a file that can be written, got '.*file/report.html'"):
        report(run, tmp_path / "file" / "report.html")
    with pytest.raises(ValueError, match=r"findings: expected one list for each of 1 runs, got 2"):
        report(run, tmp_path / "report.html", findings=[[], []])
    with pytest.raises(ValueError, match=r"tags: expected one of \['train/reward'\], got 'train/rewrd'"):
        report(run, tmp_path / "report.html", tags=["train/rewrd"])


def test_the_x_axis_covers_histograms_too(tmp_path):
    points = [(step, Histogram.of([float(step), 1.0])) for step in (0, 300, 900)]
    page = written(tmp_path, run_of({"train/reward": [(10, 1.0), (20, 2.0)]}, histograms={"weights/a": points}))
    assert data_of(page)["range"] == [0, 900]
    assert data_of(written(tmp_path, run_of({}, histograms={"weights/a": points})))["range"] == [0, 900]


def test_a_run_that_began_again_is_one_curve_of_its_last_session(tmp_path):
    points = [*((step, 0.0) for step in range(0, 500, 10)), *((step, step / 2) for step in range(0, 300, 10))]
    page = written(tmp_path, run_of({"train/reward": points}))
    (curve,) = charts_of(page)["train/reward"]["curves"]
    assert decoded(curve["x"], "<f8").tolist() == list(range(0, 300, 10))
    assert decoded(curve["mean"], "<f4").tolist() == [step / 2 for step in range(0, 300, 10)]
    assert data_of(page)["range"] == [0, 290]
    assert "The steps go back from 490 to 0" in page


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to open the page in")
def test_evidence_leads_to_its_chart_and_ticks_have_distinct_labels(sb3, tmp_path):
    shown = finding(evidence=(number("losses/value", 1.0, 128),))
    path = report(sb3, tmp_path / "report.html", findings=[[shown]])
    script = """<script>
      const found = [labels([1e6, 1e6 + 200, 1e6 + 400]), labels([0.5, null, 2])];
      HTMLElement.prototype.scrollIntoView = function () { found.push(this.id); };
      document.querySelector('a[data-tag="losses/value"]').click();
      document.title = JSON.stringify(found);
    </script>"""
    path.write_text(path.read_text("utf-8").replace("</body>", script + "</body>"), "utf-8")
    document, errors = browse(path, tmp_path)
    assert not errors
    assert '<title>[["1M","1.0002M","1.0004M"],["0.5","","2"],"chart-train/value_loss"]</title>' in document
