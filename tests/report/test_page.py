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
from puffer_callbacks.health import Diagnosis
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
FOUND = Diagnosis((FINDING,), judged=("entropy_collapse",), not_judged={"kl_large": "needs <more> points"})


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


def browse(page, tmp_path, *, width=1280, height=20_000, script=""):
    """The document after its scripts, and one more, ran in a headless browser without a network."""
    page.write_text(page.read_text("utf-8").replace("</body>", f"<script>{{ {script} }}</script></body>"), "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=5000",
        f"--window-size={width},{height}",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, errors


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to open the page in")
@pytest.mark.parametrize("source", ["ours", "sb3", "pufferlib"])
def test_a_browser_draws_the_curves_of_every_kind_of_run(source, request, tmp_path):
    run = request.getfixturevalue(source)
    document, errors = browse(report(run, tmp_path / "report.html", diagnoses=[FOUND]), tmp_path)
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
    page = written(tmp_path, ours, diagnoses=[FOUND])
    assert "Entropy fell &lt;fast&gt;." in page
    assert "Raise ent_coef." in page
    marks = charts_of(page)["train/entropy"]["marks"]
    assert marks == [{"run": 0, "from": 128, "to": 256, "severity": "critical", "rule": "entropy_collapse"}]
    assert charts_of(page)["train/reward"]["marks"] == []
    assert "needs &lt;more&gt; points" in page
    assert "health rules" not in written(tmp_path, ours).split("<script")[0].lower()


def test_marks_of_several_runs_have_their_run_and_stand_in_the_order_of_their_steps(tmp_path):
    scalars = {"train/entropy": [(0, 1.0), (128, 0.1), (256, 0.1)]}
    early = finding(rule="entropy_rise", evidence=(number("train/entropy", 0.1, 0),), first_step=0, last_step=128)
    diagnoses = [FOUND, Diagnosis((early,)), Diagnosis()]
    page = written(tmp_path, [run_of(scalars, name=name) for name in "abc"], diagnoses=diagnoses)
    marks = charts_of(page)["train/entropy"]["marks"]
    assert [(mark["run"], mark["rule"]) for mark in marks] == [(1, "entropy_rise"), (0, "entropy_collapse")]


def test_nothing_found_names_how_many_rules_were_applied(tmp_path):
    run = run_of({"train/reward": [(0, 1.0), (9, 2.0)]})
    some = Diagnosis(judged=("a", "b"), not_judged={"c": "needs 3 points of x, has 0"})
    none = Diagnosis(not_judged=dict.fromkeys("abc", "needs 3 points of x, has 0"))
    page = written(tmp_path, run, diagnoses=[some])
    assert (
        page.count("2 of the 3 health rules could be applied, and found nothing.") == 2
    )  # in the summary and among the findings
    assert "Not applied: 1 of 3 health rules" in page
    assert "needs 3 points of x, has 0" in page
    assert "None of the 3 health rules could be applied to what was logged." in written(tmp_path, run, diagnoses=[none])
    assert "0 to 2 of the 3 health rules could be applied, and found nothing." in written(
        tmp_path, [run, run], diagnoses=[some, none]
    )


def test_a_library_that_is_not_known_is_not_named(tmp_path):
    assert '<p class="eyebrow">Run report</p>' in written(tmp_path, run_of({"mine": [(0, 1.0), (9, 2.0)]}))


def test_a_browser_without_scripts_shows_where_the_charts_are(ours, tmp_path):
    assert re.search(r"<noscript>.*The charts need JavaScript.*</noscript>", written(tmp_path, ours), re.DOTALL)


def test_what_lines_and_bands_mean_is_on_the_page(ours, tmp_path):
    page = written(tmp_path, ours)
    assert "Curves are over environment steps." in page
    assert "the band is from the lowest to the highest" in page


def test_a_number_that_is_not_finite_is_counted_among_all(tmp_path):
    page = written(tmp_path, run_of({"train/loss": [(0, 1.0), (9, float("nan")), (18, float("inf"))]}))
    assert charts_of(page)["train/loss"]["about"].endswith("NaN or infinite: 2 of 3 values.")


def test_a_number_that_no_run_has_is_no_column(tmp_path):
    runs = [run_of({"train/reward": [(1, 2.0)]}, name=name) for name in "ab"]
    heads = re.findall(r'<th scope="col">([^<]+)', written(tmp_path, runs))
    assert heads == ["run", "final return", "best return", "steps"]
    runs.append(run_of({"train/episode_length": [(1, 9.0)]}, name="c"))
    page = written(tmp_path, runs)
    assert re.findall(r'<th scope="col">([^<]+)', page) == [*heads[:3], "episode length", "steps"]
    assert re.findall("<td>([^<]+)", page)[-4:] == ["–", "–", "9", "1"]


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
    with pytest.raises(ValueError, match=r"diagnoses: expected one for each run, 1 in all, got 2"):
        report(run, tmp_path / "report.html", diagnoses=[FOUND, FOUND])
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
    path = report(sb3, tmp_path / "report.html", diagnoses=[Diagnosis((shown,))])
    script = """
      const found = [labels([1e6, 1e6 + 200, 1e6 + 400]), labels([0.5, null, 2])];
      HTMLElement.prototype.scrollIntoView = function () { found.push(this.id); };
      document.querySelector('a[data-tag="losses/value"]').click();
      document.title = JSON.stringify(found);
    """
    document, errors = browse(path, tmp_path, script=script)
    assert not errors
    assert '<title>[["1M","1.0002M","1.0004M"],["0.5","","2"],"chart-train/value_loss"]</title>' in document


PAINTED = """
  const painted = (card) => { // whether anything of the color of the first run, or of its histogram's, is on the canvas
    const canvas = card.querySelector("canvas");
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] > 200 && data[at + 2] - data[at] > 60) return true;
    }
    return false;
  };
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to open the page in")
def test_values_between_gaps_and_single_histograms_are_seen(tmp_path):
    between = [(step, float("nan") if step % 2 else step) for step in range(100)]
    run = run_of(
        {"a/between": between, "a/last": [*((step, float("nan")) for step in range(99)), (99, 3.0)]},
        histograms={"weights/lone": [(50, Histogram.of([0.0, 1.0, 2.0]))]},
    )
    script = (
        PAINTED
        + """
      setTimeout(() => {
        document.title = JSON.stringify([...document.querySelectorAll(".chart")].map(painted));
      }, 500);
    """
    )
    document, errors = browse(report(run, tmp_path / "report.html"), tmp_path, script=script)
    assert not errors
    assert "<title>[true,true,true]</title>" in document


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to open the page in")
def test_paper_has_every_chart_that_is_not_folded_in_light_colors(ours, tmp_path):
    script = """
      const near = [...document.querySelectorAll(".chart")].filter((card) => card.checkVisibility());
      const drawn = () => near.filter((card) => card.querySelector("canvas")).length;
      const found = [drawn() < near.length];
      dispatchEvent(new Event("beforeprint"));
      found.push(drawn() === near.length, document.documentElement.className);
      dispatchEvent(new Event("afterprint"));
      document.title = JSON.stringify([...found, document.documentElement.className]);
    """
    document, errors = browse(report(ours, tmp_path / "report.html"), tmp_path, height=800, script=script)
    assert not errors
    assert '<title>[true,true,"paper",""]</title>' in document


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to open the page in")
def test_numbers_and_ticks_in_the_browser(tmp_path):
    run = run_of({"health/findings": [(0, 0.0), (10, 2.0)], "train/reward": [(0, 1.0), (1, 2.0)]})
    script = """
      const labelled = [...document.querySelectorAll(".plot")].map((plot) => [plot.role, plot.ariaLabel]);
      const ticks = [...CHARTS].map((u) => u.axes[0]._splits.every(Number.isInteger));
      setTimeout(() => {
        const counts = [...CHARTS][1].axes[1]._splits;
        document.title = JSON.stringify([short(1.162e31), short(-2e15), short(9.9e14), labelled[0], ticks, counts]);
      }, 500);
    """
    document, errors = browse(report(run, tmp_path / "report.html"), tmp_path, script=script)
    assert not errors
    found = json.loads(re.search(r"<title>(.*)</title>", document).group(1))
    assert found[:3] == ["1.162e+31", "-2e+15", "990T"]
    assert found[3] == ["img", "train/reward over steps, last 2 reward"]
    assert found[4] == [True, True]
    assert found[5] == [0, 1, 2]


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to open the page in")
def test_long_names_fit_a_narrow_screen_and_marks_have_the_name_of_their_run(tmp_path):
    names = [f"ppo_{place}_" + 6 * "learning_rate_0.0003_" for place in (1, 2)]
    runs = [run_of({"train/entropy": [(0, 1.0), (300, 0.1)], "train/reward": [(0, 1.0)]}, name=name) for name in names]
    script = """
      const keep = (text, x, y) => { if (text.includes("ppo")) drawn.push([text, y]); };
      CanvasRenderingContext2D.prototype.fillText = keep;
      const drawn = [], first = document.querySelector("tbody tr").children;
      for (const made of document.querySelectorAll(".chart")) { made.show(); made.rebuild(); }
      setTimeout(() => {
        const { clientWidth, scrollWidth } = document.documentElement;
        document.title = JSON.stringify([clientWidth, scrollWidth, first[1].getBoundingClientRect().right, drawn]);
      }, 500);
    """
    page = report(runs, tmp_path / "report.html", diagnoses=[FOUND, FOUND])
    document, errors = browse(page, tmp_path, width=500, script=script)
    assert not errors
    room, needed, first_number, drawn = json.loads(re.search(r"<title>(.*)</title>", document).group(1))
    assert needed <= room
    assert first_number <= room
    assert {text for text, _ in drawn} == {f"entropy collapse · {name}" for name in names}
    assert len({height for _, height in drawn}) == 2


def test_a_picture_has_room_for_its_width_and_a_text_in_its_place(tmp_path):
    pictures = {f"p{width}": [(1500, Image(np.zeros((4, width, 3), np.uint8)))] for width in (100, 500, 900)}
    page = written(tmp_path, run_of({}, images=pictures))
    assert re.findall(r'<figure class="(\w*)"><h3>(\w+)</h3>', page) == [
        ("", "p100"),
        ("double", "p500"),
        ("wide", "p900"),
    ]
    assert 'alt="p500, step 1.5k"' in page
