"""Faults × backends × moments: training is the same to the bit, other backends lose nothing, the user is told."""

import sys
from itertools import product

import lightning.pytorch as pl
import pytest
import torch

from puffer_callbacks import MemoryLogger, PufferCallback
from puffer_callbacks.backends.async_writer import AsyncWriter
from puffer_callbacks.backends.worker import Worker
from tests.robustness.breaking import Fault, Plain, break_logger
from tests.robustness.checks import check, rows, the_two
from tests.robustness.small import ROLLOUTS, STEPS, train
from tests.support.reading import tensorboard_scalars
from tests.support.warned import warned

FAILS = ("always", "texts", "third")
KINDS = (*FAILS, "blocks", "slow")
MOMENTS = ("start", "middle", "close")
QUICK = ("tensorboard", "csv")
IMMEDIATE = ("plain", "memory", "console")
"""Written to on the training thread: their slowness is the run's."""
MATRIX = [*product((*QUICK, "wandb"), KINDS, MOMENTS), *product(IMMEDIATE, FAILS, MOMENTS)]


@pytest.fixture
def timeouts(request, monkeypatch, backend, kind):
    """A logger that blocks is given up sooner; W&B is another process, which takes longer."""
    if kind == "blocks":
        request.getfixturevalue("impatient")
    if backend == "wandb":
        wandb = pytest.importorskip("wandb")
        monkeypatch.setenv("WANDB_SILENT", "true")
        monkeypatch.setattr(AsyncWriter, "close_timeout", 2.0 if kind == "blocks" else 60.0)
    yield
    if backend == "wandb":
        wandb.finish()


@pytest.mark.usefixtures("timeouts")
@pytest.mark.parametrize(("backend", "kind", "moment"), MATRIX)
def test_a_broken_backend_harms_nothing_else(healthy, tmp_path, backend, kind, moment):
    broken = break_logger(backend, Fault(kind, moment), tmp_path)
    reported = [warning for warning in check(healthy, tmp_path, broken) if "takes scalars only" not in warning]
    if kind == "slow" or (kind == "third" and moment == "close"):  # one call at the close is no third
        assert reported == []
        return
    reason, in_all = the_two(reported, type(broken).__name__)
    assert ("it took more than" if kind == "blocks" else "OSError: [Errno 28] No space left on device") in reason
    lost = {"always": True, "texts": True, "third": False, "blocks": True}[kind] and moment != "close"
    assert ("could not be recorded whole" in in_all) == lost


@pytest.mark.parametrize(("backend", "kind"), [*product(QUICK, ["third", "slow"]), ("plain", "third")])
def test_what_fails_only_sometimes_loses_nothing(healthy, tmp_path, backend, kind):
    broken = break_logger(backend, Fault(kind, "start"), tmp_path)
    check(healthy, tmp_path, broken)
    if backend == "plain":
        assert [step for step, metrics in broken.rows if "time/env_steps" in metrics] == STEPS
    elif backend == "csv":
        assert rows(tmp_path / "csv") == STEPS
    else:
        assert [step for step, _ in tensorboard_scalars(tmp_path / "tensorboard")["train/loss"]] == STEPS


@pytest.mark.parametrize("kind", ["always", "texts", "third"])
@pytest.mark.parametrize("backend", [*QUICK, "memory", "console"])
def test_strict_raises_the_reason(tmp_path, backend, kind):
    broken = break_logger(backend, Fault(kind, "start"), tmp_path)
    with pytest.raises(OSError, match="No space left on device"), warned():
        train([broken], tmp_path, strict=True)


def test_strict_raises_what_a_logger_would_leave_out(tmp_path):
    with pytest.raises(ValueError, match="Plain takes scalars only: Text values such as"):
        train([Plain()], tmp_path, strict=True)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["always", "blocks"])
def test_a_checkpoint_does_not_wait_for_a_broken_backend_twice(healthy, tmp_path, monkeypatch, kind):
    waits = []
    wait_at_most = Worker.wait_at_most

    def counted(self, done, seconds):
        before = done.is_set() or (self._overdue is not None and not self._overdue.is_set())
        waits.append(not before)
        return wait_at_most(self, done, seconds)

    monkeypatch.setattr(Worker, "wait_at_most", counted)
    broken = break_logger("csv", Fault(kind, "start"), tmp_path)

    def save(rollout, trainer):
        trainer.save_checkpoint(tmp_path / f"{rollout}.ckpt")

    with warned():
        weights = train([broken], tmp_path, action=save)
    assert torch.equal(weights, healthy[0])
    assert len(list(tmp_path.glob("*.ckpt"))) == ROLLOUTS
    if kind == "blocks":
        assert sum(waits) <= 2  # once at a checkpoint, where it is found out


class Lightnings(Plain):
    """A logger that fails in whatever Lightning itself calls."""

    def _fail(self, *_, **__):
        raise OSError(5, "Input/output error")

    log_metrics = log_hyperparams = log_graph = save = finalize = after_save_checkpoint = _fail


class Logs(pl.Callback):
    """Logs in Lightning's own way."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        pl_module.log("own", 1.0, batch_size=1)


def test_what_lightning_calls_on_a_broken_logger_ends_nothing(healthy, tmp_path):
    reported = check(healthy, tmp_path, Lightnings(), callbacks=[Logs()], enable_checkpointing=True)
    the_two(reported, "Lightnings")


def test_its_methods_are_its_own_again_after_the_fit(tmp_path):
    logger = Plain()
    with warned():
        train([logger], tmp_path)
    assert "log_metrics" not in vars(logger)
    assert "finalize" not in vars(logger)


def test_a_fault_of_a_user_s_callback_is_not_swallowed(tmp_path):
    class Mine(PufferCallback):
        def on_rollout_end(self, trainer, pl_module, rollout):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        train([MemoryLogger()], tmp_path, callbacks=[Mine()])


def test_a_blocked_thread_does_not_keep_the_interpreter_from_its_end(pytester):
    script = pytester.makepyfile(
        """
        from threading import Event
        from puffer_callbacks import Axes, Writer
        from puffer_callbacks.backends.async_writer import AsyncWriter
        from puffer_callbacks.backends.retrying_writer import RetryingWriter
        from puffer_callbacks.faults import Faults

        class Blocks(Writer):
            def write(self, values, axes):
                Event().wait()

        AsyncWriter.close_timeout = 0.1
        blocked = RetryingWriter(Blocks(logger=None))
        writer = AsyncWriter(blocked)
        writer.write({"a": 1.0}, Axes(None, 1, 0.0))
        writer.close()
        print(blocked.report.summary)
        """
    )
    result = pytester.run(sys.executable, script, timeout=120)
    assert result.ret == 0
    assert result.outlines == ["1 of 1 rows of this run could not be recorded whole"]
