"""``puffer-callbacks plot``, as a person types it."""

import json

import pytest

from puffer_callbacks.cli import main as command


def main(argv):
    return command(["plot", *argv])


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        rows = [{"agent_steps": 64 * i, "env/episode_return": float(i), "loss/entropy": 1 / (i + 1)} for i in range(9)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "many.jsonl").write_text(
        json.dumps({"step": 1} | {f"tag/{at}": 0.5 for at in range(9)}) + "\n"
    )
    return tmp_path / "runs"


def test_a_page_is_written_and_named(log, capsys):
    assert main([str(log / "a"), "--out", "pages/report.html"]) == 0
    assert capsys.readouterr().out == "Report: pages/report.html\n"
    assert "<h1>a</h1>" in (log.parent / "pages" / "report.html").read_text()


def test_several_runs_by_a_pattern_with_their_figures(log, capsys):
    assert main(["runs/*", "--figures", "figures", "--tags", "train/reward"]) == 0
    assert "<h1>2 runs</h1>" in (log.parent / "report.html").read_text()
    assert capsys.readouterr().out.splitlines()[1] == "Figures: 4 files in figures"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["nowhere"], "expected a file or folder of runs, or a pattern that matches some, got nowhere"),
        (["runs/a", "--tags", "train/rewrd"], "--tags: expected one of ['train/reward'"),
        (
            ["many", "--tags", "x*y"],
            "--tags: expected one of 9 curves, such as 'tag/0', 'tag/1', 'tag/2', 'tag/3', 'tag/4', ",
        ),
        (["runs/a", "--out", "runs/a/a.jsonl/report.html"], "--out: expected a file that can be written"),
        (["runs/a", "--figures", "runs/a/a.jsonl"], "--figures: expected a folder that can be written"),
        (["runs/a", "--out", ""], "--out: expected a path, got ''"),
        (["runs/a", "--figures", ""], "--figures: expected a path, got ''"),
        (["runs/a", "--out", "a.PDF"], "--out: expected an HTML file such as report.html, got 'a.PDF'; --figures"),
    ],
)
def test_bad_input_is_one_clear_line(log, capsys, argv, line):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("puffer-callbacks: error: ")
    assert line in error
    assert error.count("\n") == 1


def test_a_run_that_is_named_twice_is_on_the_page_once(log):
    (log / "latest").symlink_to(log / "a")
    assert main([str(log / "a"), "runs/*", "runs", "runs/latest/"]) == 0
    assert "<h1>2 runs</h1>" in (log.parent / "report.html").read_text()


def test_runs_are_shown_beside_one_that_cannot_be_read(log, capsys):
    (log / "b" / "b.jsonl").write_text('{"step": 64}\n')
    assert main(["runs"]) == 2
    out, err = capsys.readouterr()
    assert out == "Report: report.html\n"
    assert err.startswith("puffer-callbacks: error: ") and "b was left out" in err and err.count("\n") == 1
    assert "<h1>a</h1>" in (log.parent / "report.html").read_text()


def test_a_folder_whose_only_run_has_no_value_is_one_line(log, capsys):
    (log / "a" / "a.jsonl").write_text('{"step": 64}\n')
    assert main(["runs/a"]) == 2
    error = capsys.readouterr().err
    assert "a was left out" in error and error.count("\n") == 1
