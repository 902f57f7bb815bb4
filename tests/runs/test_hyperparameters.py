"""Hyperparameters that are not where a format keeps them."""

from torch.utils.tensorboard import SummaryWriter

from puffer_callbacks.runs import read_run

CLEANRL = {
    "exp_name": "ppo",
    "env_id": "CartPole-v1",
    "learning_rate": 2.5e-4,
    "num_envs": 4,
    "anneal_lr": True,
    "target_kl": None,
}


def write(folder):
    """As CleanRL's scripts do."""
    with SummaryWriter(folder) as writer:
        rows = "\n".join([f"|{key}|{value}|" for key, value in CLEANRL.items()])
        writer.add_text("hyperparameters", f"|param|value|\n|-|-|\n{rows}")
        writer.add_scalar("charts/episodic_return", 1.0, 4)


def test_those_of_cleanrl_are_read_from_its_text(tmp_path):
    write(tmp_path)
    assert read_run(tmp_path).hyperparameters == {**CLEANRL, "target_kl": "None"}


def test_a_file_beside_the_log_comes_first(tmp_path):
    write(tmp_path)
    (tmp_path / "hparams.yaml").write_text("lr: 0.1\n")
    assert read_run(tmp_path).hyperparameters == {"lr": 0.1}
