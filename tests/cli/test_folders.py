from pathlib import Path

import pytest

from puffer_callbacks.cli.folders import RunFolder, run_folder
from puffer_callbacks.cli.parser import UsageError


def holds_a_run(folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    return folder


def test_a_second_run_is_beside_the_first_and_a_third_beside_both(tmp_path):
    holds_a_run(tmp_path / "exp1")
    assert run_folder(tmp_path / "exp1", None).path == tmp_path / "exp1_2"
    assert run_folder(tmp_path / "exp1", None).path == tmp_path / "exp1_3"


def test_a_named_run_is_in_the_folder_and_a_second_one_beside_it(tmp_path):
    assert run_folder(tmp_path, "a").path == tmp_path / "a"
    holds_a_run(tmp_path / "b")
    assert run_folder(tmp_path, "b") == RunFolder(tmp_path / "b_2", tmp_path / "b")


@pytest.mark.parametrize("file", ["events.out.tfevents.1", "wandb/run", "checkpoints/last.ckpt"])
def test_what_shows_that_a_folder_holds_a_run(tmp_path, file):
    (tmp_path / "exp" / file).parent.mkdir(parents=True)
    (tmp_path / "exp" / file).touch()
    assert run_folder(tmp_path / "exp", None).path == tmp_path / "exp_2"


def test_a_folder_of_other_files_is_taken(tmp_path):
    (tmp_path / "notes.txt").touch()
    assert run_folder(tmp_path, None) == RunFolder(tmp_path, tmp_path)


def test_a_run_continues_in_its_own_folder_and_not_in_another_s(tmp_path):
    own, other = holds_a_run(tmp_path / "own"), holds_a_run(tmp_path / "other")
    assert run_folder(own, None, continues=own) == RunFolder(own, own, is_continued=True)
    assert run_folder(other, None, continues=own) == RunFolder(tmp_path / "other_2", other)


def test_the_working_folder(tmp_path):
    folder = tmp_path / "work"
    holds_a_run(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_folder(Path(), None).path == tmp_path / "work_2"


def test_a_name_that_leaves_the_folder(tmp_path):
    for name in ("", ".", "..", "a/b", "/a", "a\0"):
        with pytest.raises(UsageError, match="--run-name: expected the name of a folder"):
            run_folder(tmp_path, name)
