import json

import numpy as np
import pytest

from puffer_callbacks.runs import read_run

PUFFER_ROWS = [
    {"SPS": 1.5e6, "agent_steps": 4096, "uptime": 1.5, "epoch": 1, "env/episode_return": 12.5, "env/n": 8,
     "loss/policy": -0.01, "loss/value": 0.3, "loss/entropy": 0.69, "loss/kl": 0.004, "loss/clipfrac": 0.1,
     "perf/rollout": 0.2, "util/gpu_percent": 93},
    {"SPS": 1.6e6, "agent_steps": 8192, "uptime": 2.5, "epoch": 2, "env/episode_return": 14.5, "env/n": 8,
     "loss/entropy": 0.65, "perf/rollout": 0.2, "util/gpu_percent": 95},
]  # fmt: skip
"""As the CUDA program writes them: what is not finite is left out."""


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_pufferlib_lines(tmp_path):
    path = write_lines(tmp_path / "17.jsonl", PUFFER_ROWS)
    (tmp_path / "17.ini").write_text("# PufferLib\n[base]\nenv_name = breakout\n[train]\nlearning_rate = 0.015\n")
    run = read_run(tmp_path)
    assert (run.path, run.source, run.format) == (tmp_path, "pufferlib", "json")
    assert run.hyperparameters == {"base/env_name": "breakout", "train/learning_rate": 0.015}
    assert run.series("loss/value")[0].tolist() == [4096]  # a key that vanished shows by its last step
    assert run.last_step == 8192
    np.testing.assert_array_equal(run.canonical["train/entropy"][1], [0.69, 0.65])
    np.testing.assert_array_equal(run.canonical["diagnostics/approx_kl"], ([4096], [0.004]))
    np.testing.assert_array_equal(run.canonical["train/reward"][1], [12.5, 14.5])
    assert read_run(path).series("SPS")[1].tolist() == [1.5e6, 1.6e6]


def test_settings_that_cannot_be_read_cost_no_value(tmp_path):
    write_lines(tmp_path / "17.jsonl", PUFFER_ROWS)
    (tmp_path / "17.ini").write_text("[base\nenv_name = breakout\n")
    run = read_run(tmp_path)
    assert (run.last_step, run.hyperparameters) == (8192, {})
    (problem,) = run.problems
    assert problem.startswith("17.ini: cannot be read: File contains no section headers")


def test_pufferlib_4(tmp_path):
    metrics = {"agent_steps": [100, 200], "loss/explained_variance": [0.1, 0.5], "loss/clipfrac": [0.2]}
    config = {"env_name": "breakout", "train": {"gamma": 0.995}, "policy": None, "vec": {"sizes": [1, 2]}}
    (tmp_path / "run.json").write_text(json.dumps({**config, "metrics": metrics}))
    run = read_run(tmp_path)
    assert run.source == "pufferlib"
    assert run.hyperparameters == {"env_name": "breakout", "train/gamma": 0.995, "vec/sizes": "[1, 2]"}
    np.testing.assert_array_equal(run.canonical["diagnostics/explained_variance"], ([100, 200], [0.1, 0.5]))
    np.testing.assert_array_equal(run.canonical["diagnostics/clip_fraction"], ([100], [0.2]))


def trainer_state(steps):
    rows = [{"step": step, "reward": step / 10, "frac_reward_zero_std": 0.5, "entropy": 0.3} for step in steps]
    return json.dumps({"global_step": steps[-1], "log_history": rows}, indent=2)


def test_trainer_state_of_the_last_checkpoint(tmp_path):
    for last in (2, 10):
        folder = tmp_path / f"checkpoint-{last}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(trainer_state(list(range(1, last + 1))))
        (folder / "config.json").write_text('{"hidden_size": 64}')
    run = read_run(tmp_path)
    assert run.path.name == "checkpoint-10"
    assert (run.source, run.x_axis, run.last_step) == ("trl", "optimizer_steps", 10)
    assert run.canonical["train/reward"][1][-1] == 1.0
    assert run.hyperparameters == {"global_step": 10}


def test_prime_rl_lines(tmp_path):
    rows = [{"step": 3, "time": 1.7e9, "mismatch_kl/mean": 0.01, "optim/grad_norm": 2.0}]
    run = read_run(write_lines(tmp_path / "metrics.jsonl", rows))
    assert run.source == "prime-rl"
    assert run.scalars.wall_time.tolist() == [1.7e9] * 3
    assert run.canonical["gradient_norm/total"][1].tolist() == [2.0]


def test_lines_that_are_torn_or_something_else(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"step": 1, "x": 1.0}\n[1, 2]\n\n{"step": 2, "x": NaN}\n{"step": 3, "x": 2.')
    run = read_run(path)
    np.testing.assert_array_equal(run.series("x")[1], [1.0, np.nan])
    assert run.problems[0] == "run.jsonl: line 2 is no JSON object"
    assert run.problems[1].startswith("run.jsonl: line 5 cannot be read")


def test_one_line_is_a_run_too(tmp_path):
    assert read_run(write_lines(tmp_path / "log.json", [{"agent_steps": 5, "x": 1}])).tags == ["agent_steps", "x"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"metrics": {"a"', r"expected JSON in .*run\.json"),
        ('{\n"hidden": 64\n}', r"expected 'metrics', 'log_history' or a list of rows in .*run\.json"),
    ],
)
def test_json_that_is_no_run(tmp_path, text, line):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=line):
        read_run(path)
