"""What a run is given or says stays in its folder, is never unpickled, and injects nothing into what is shown."""

import ast
import html
import io
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

import puffer_callbacks
from puffer_callbacks import ConsoleLogger, Histogram, Image, MetricsCallback, Text, Video
from tests.robustness.fuzz import Logs
from tests.support.models import Supervised
from tests.support.reading import accumulator

PACKAGE = Path(puffer_callbacks.__file__).parent

OUTWARD = [
    "../outside",
    "../../../outside",
    "a/../../../outside",
    "/outside",
    "//host/outside",
    "~/outside",
    "$HOME/outside",
    "C:\\outside",
    "..\\..\\outside",
    "file:///outside",
    "outside\0.png",
    "..",
    ".",
    "CON",
    "-rf",
    "x" * 300,
]


def everything(tag):
    """A value of each kind under this tag."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    kinds = {
        "": 1.0,
        "/h": Histogram.of(torch.ones(3)),
        "/i": Image(pixels),
        "/v": Video(pixels[None]),
        "/t": Text("words"),
    }
    return {tag: Image(pixels)} | {tag + end: value for end, value in kinds.items() if end} | {f"{tag}.n": 1.0}


@pytest.mark.filterwarnings("ignore")  # of W&B
@pytest.mark.parametrize("backend", ["tensorboard", "csv", "wandb"])
def test_tags_cannot_leave_the_folder(quiet_trainer, tmp_path, monkeypatch, backend):
    inside = tmp_path / "a" / "b" / "run"
    inside.mkdir(parents=True)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    if backend == "wandb":
        wandb = pytest.importorskip("wandb")
        logger = WandbLogger(save_dir=str(inside), offline=True)
    else:
        kind = {"tensorboard": TensorBoardLogger, "csv": CSVLogger}[backend]
        logger = kind(inside, name="", version="")
    values = {tag: value for each in OUTWARD for tag, value in everything(each).items()}
    quiet_trainer(logger=logger, callbacks=[MetricsCallback(1), Logs(values)], default_root_dir=inside).fit(
        Supervised([{}] * 2)
    )
    if backend == "wandb":
        wandb.finish()
        wandb.teardown()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    outside = [path for path in written if inside not in path.parents and tmp_path / "home" not in path.parents]
    assert outside == []
    assert not [path for path in written if "outside" in path.name and inside not in path.parents]
    assert [path for path in written if inside in path.parents]


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", ".", "", "\0", "a\0b"])
def test_run_names_cannot_leave_the_log_directory(tmp_path, capsys, name):
    from puffer_callbacks.cli import main

    arguments = ["train", "--env", "CartPole", "--log-dir", str(tmp_path / "runs"), "--run-name", name]
    assert main([*arguments, "--total-timesteps", "64"]) == 2
    assert "--run-name" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_unpickled_or_executed(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not UNPICKLES & {name.partition(".")[0] for name in names}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "__import__", "os.system", "yaml.load", "yaml.unsafe_load"), called
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in ("torch.load", "np.load", "numpy.load", "load"):
                assert given.get("weights_only") == "True" or given.get("allow_pickle", "False") == "False"
                assert called != "torch.load" or given.get("weights_only") == "True"
            assert given.get("allow_pickle", "False") == "False"
            assert given.get("shell", "False") == "False"
            assert given.get("weights_only", "True") == "True"


INJECTIONS = [
    "<script>alert(1)</script>",
    "<img src=http://elsewhere/x.png onerror=alert(1)>",
    "![picture](http://elsewhere/x.png)",
    "[click](javascript:alert(1))",
    "[click](http://elsewhere)",
    "[click] (http://elsewhere)",
    "[click\\](http://elsewhere)",
    "[click][1]\n\n[1]: http://elsewhere",
    "![picture][1]\n\n[1]:\n  http://elsewhere/x.png",
    "<http://elsewhere>",
    "<a href='http://elsewhere' onclick='alert(1)'>click</a>",
    "<iframe src='http://elsewhere'></iframe>",
    "`</code><img src=x>`",
    "| a |\n|---|\n| <img src=x> |",
]


def shown(folder):
    """What TensorBoard's text tab makes of the first text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the sanitizer that TensorBoard comes with
        from tensorboard.plugins.text.text_plugin import text_array_to_html
    stored = accumulator(folder).Tensors("words/text_summary")[0].tensor_proto.string_val[0]
    return text_array_to_html(np.array([stored], dtype=object), True)


@pytest.mark.parametrize("text", INJECTIONS)
def test_words_inject_nothing_into_tensorboard(quiet_trainer, tmp_path, text):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    quiet_trainer(logger=logger, callbacks=[Logs({"words": Text(text)})]).fit(Supervised([{}] * 2))
    assert not re.search(r"<(a|img|script|iframe)\b", shown(tmp_path))


@pytest.mark.parametrize(
    "text", ["plain words", "OSError: [Errno 28] No space", "https://<redacted>@host/x", "a & b < c"]
)
def test_words_are_shown_as_they_are(quiet_trainer, tmp_path, text):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    quiet_trainer(logger=logger, callbacks=[Logs({"words": Text(text)})]).fit(Supervised([{}] * 2))
    assert text in html.unescape(shown(tmp_path))


def test_words_do_not_command_a_terminal(quiet_trainer):
    stream = io.StringIO()
    words = {"words": Text("a\x1b[2Jb\x9b31mc\rd\x07\ntwo\tlines"), "\x1b]0;title\x07": 1.0}
    quiet_trainer(logger=ConsoleLogger(every_n_steps=1, stream=stream), callbacks=[Logs(words)]).fit(
        Supervised([{}] * 2)
    )
    assert "two\tlines" in stream.getvalue()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", stream.getvalue())


def test_secrets_are_in_no_file_of_a_run(quiet_trainer, tmp_path):
    """By the name of the setting, by the form of its value, and inside of words."""
    key, form, inside = "hush-by-name", "ghp_" + "hush" * 8, "hush-inside"
    module = Supervised([{}] * 2)
    settings = {"api_key": key, "note": form, "url": f"https://me:{inside}@host/x", "gamma": 0.99}
    module.save_hyperparameters(settings)
    loggers = [TensorBoardLogger(tmp_path, name="", version="tb"), CSVLogger(tmp_path, name="", version="csv")]
    callbacks = puffer_callbacks.default_callbacks(metrics=1)
    quiet_trainer(logger=loggers, callbacks=callbacks).fit(module)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for path in files:
        content = path.read_bytes()
        for secret in (key, form, inside):
            assert secret.encode() not in content, path
    assert any(b"gamma" in path.read_bytes() for path in files)
