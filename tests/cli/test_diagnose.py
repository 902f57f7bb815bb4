"""``puffer-callbacks diagnose``, as a person types it."""

import json
import os
import subprocess
import sys

import pytest

from puffer_callbacks.cli import main
from tests.cli.logs import cleanrl, puffer_rows, stable_baselines, write_lines


def diagnose(*arguments):
    command = [sys.executable, "-m", "puffer_callbacks", "diagnose", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def rules_of(done):
    return [[finding["rule"] for finding in run["findings"]] for run in json.loads(done.stdout)["runs"]]


def test_a_sound_run_is_0(tmp_path):
    done = diagnose(write_lines(tmp_path / "run.jsonl", puffer_rows()))
    assert (done.returncode, done.stderr) == (0, "")
    assert "logged by pufferlib" in done.stdout
    assert "Nothing found by" in done.stdout
    assert "The others could not be judged:" in done.stdout


def test_what_another_library_cannot_log_is_one_reason(tmp_path, capsys):
    main(["diagnose", str(write_lines(tmp_path / "run.jsonl", puffer_rows()))])
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("need what callbacks measure in the training loop") == 1
    assert "needs 5 points of train/ent_coef, has 0" in shown  # which the library could log
    assert "diagnostics/" not in shown


def test_a_finding_is_1_with_cause_and_remedy(tmp_path):
    done = diagnose(write_lines(tmp_path / "run.jsonl", puffer_rows(entropy_collapses=True)))
    assert (done.returncode, done.stderr) == (1, "")
    assert "CRITICAL learning_rate_zero" in done.stdout
    assert "cause:  the learning rate is 0" in done.stdout
    assert "remedy: check the schedule's units and its end" in done.stdout


def test_json_has_the_fields_of_the_contract(tmp_path):
    path = write_lines(tmp_path / "run.jsonl", puffer_rows(entropy_collapses=True))
    (run,) = json.loads(diagnose(path, "--json").stdout)["runs"]
    assert (run["path"], run["source"], run["steps"]) == (str(path), "pufferlib", 4096 * 60)
    finding = run["findings"][0]
    assert {"rule", "severity", "message", "causes", "remedies", "evidence"} < finding.keys()
    assert (finding["first_step"], finding["last_step"]) == (4096, 4096 * 60)
    assert finding["evidence"][0] == {"tag": "train/learning_rate", "value": 0.0, "step": 4096 * 60}
    assert "learning_rate_zero" in run["judged"]
    assert "has 0" in run["not_judged"]["temperature_high"]


def test_losses_that_vanish_from_pufferlib_s_lines_are_a_sign_of_nan(tmp_path):
    done = diagnose(write_lines(tmp_path / "run.jsonl", puffer_rows(vanishes=True)), "--json")
    assert rules_of(done) == [["series_vanished"]]
    assert json.loads(done.stdout)["runs"][0]["findings"][0]["first_step"] == 4096 * 30


def test_stable_baselines3_in_both_of_its_formats(tmp_path):
    stable_baselines(tmp_path / "sound", steps=4096)
    stable_baselines(tmp_path / "ill", steps=4096, learning_rate=0.3, target_kl=None)
    for file in ("progress.csv", ""):
        done = diagnose(tmp_path / "sound" / file, tmp_path / "ill" / file, "--json")
        assert done.returncode == 1, done.stderr
        sound, ill = rules_of(done)
        assert sound == []
        assert "kl_large" in ill


def test_cleanrl(tmp_path):
    cleanrl(tmp_path / "sound", kl=0.004)
    cleanrl(tmp_path / "ill", kl=3.0)
    done = diagnose(tmp_path / "*", "--json")
    runs = {run["path"].rpartition("/")[2]: run for run in json.loads(done.stdout)["runs"]}
    assert runs["sound"]["source"] == "cleanrl"
    assert runs["sound"]["findings"] == []
    assert [finding["rule"] for finding in runs["ill"]["findings"]] == ["kl_large"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty", None, "expected TensorBoard event files"),
        ("empty.jsonl", "", "it holds no value yet"),
        ("notes.txt", "hello", "got a file of another format"),
    ],
)
def test_what_cannot_be_read_is_2_and_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.mkdir() if content is None else path.write_text(content)
    done = diagnose(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("puffer-callbacks: error: ")
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_what_can_be_judged_is_judged_beside_what_cannot_be_read(tmp_path):
    path = write_lines(tmp_path / "run.jsonl", puffer_rows())
    done = diagnose(path, tmp_path / "nothing", "--json")
    assert done.returncode == 2
    assert rules_of(done) == [[]]
    assert done.stderr.count("\n") == 1 and "nothing" in done.stderr


def test_unknown_tags_single_points_and_a_torn_line(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"step": 1, "mine": 2.0}\n{"step": 2, "train/reward": 1.0}\n{"step": 3, "mi')
    done = diagnose(path)
    assert done.returncode == 0, done.stderr
    assert "could not be read: run.jsonl: line 3" in done.stdout
    shown = " ".join(done.stdout.split())  # lines are broken at the width of the terminal
    assert "train/reward, has 1" in shown or "8 points of train/reward" in shown


def test_unknown_options_are_2(tmp_path):
    done = diagnose(tmp_path, "--jsno")
    assert done.returncode == 2
    assert "--json" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["--help"], ["diagnose", "LOG"], ["watch", "LOG"]])
def test_a_closed_output_ends_it_quietly(command, tmp_path):
    log = write_lines(tmp_path / "run.jsonl", puffer_rows())
    reader, writer = os.pipe()
    os.close(reader)  # as `| head` does once it has its lines
    process = [sys.executable, "-m", "puffer_callbacks", *(str(log) if word == "LOG" else word for word in command)]
    done = subprocess.run(process, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_run_that_began_again_is_judged_by_what_was_written_last(tmp_path, capsys):
    rows = [*puffer_rows(entropy_collapses=True), *puffer_rows()]
    path = write_lines(tmp_path / "run.jsonl", iter(rows))
    assert main(["diagnose", str(path)]) == 0
    out = capsys.readouterr().out
    assert (
        "\n  the steps go back from 245,760 to 4,096; what was written before of that step and beyond is left out\n"
        in out
    )
    assert "could not be read" not in out


def test_a_folder_without_runs_is_named(tmp_path, capsys):
    assert main(["diagnose", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith(f"W&B offline files at {tmp_path}, got none\n")


def test_a_shell_may_put_wandb_s_own_logs_among_the_runs(tmp_path, capsys):
    folder = tmp_path / "wandb"
    (folder / "run-1").mkdir(parents=True)
    run = write_lines(folder / "run-1" / "run.jsonl", puffer_rows())
    for name in ("debug.log", "debug-internal.log"):
        (folder / name).write_text('{"time":"2026-11-27","level":"INFO","msg":"wandb-core"}\n')
    assert main(["diagnose", *map(str, sorted(folder.iterdir())), "--json"]) in (0, 1)
    printed = capsys.readouterr()
    assert [run["path"] for run in json.loads(printed.out)["runs"]] == [str(run.parent)]
    assert printed.err == ""
    assert main(["diagnose", str(folder / "debug.log")]) == 2
