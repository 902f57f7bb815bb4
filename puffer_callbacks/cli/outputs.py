"""Where a run of the command line is logged."""

import os
import socket
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from puffer_callbacks.backends.async_writer import FLUSH_SECONDS

_WANDB_HOST = "https://api.wandb.ai"


def tensorboard_logger(folder: Path) -> TensorBoardLogger:
    """TensorBoard's event files in the folder itself."""
    return TensorBoardLogger(folder, name="", version="", default_hp_metric=False, flush_secs=int(FLUSH_SECONDS))


def run_folder(log_dir: str, run_name: str | None, *, resumes: bool) -> Path:
    """The folder of this run: ``log_dir`` itself, or one below it where it holds another run already.

    Args:
        log_dir: what the user asked for.
        run_name: the folder's name below it, if the user gave one.
        resumes: whether the run goes on in the folder of an earlier one.

    Raises:
        ValueError: if the name leaves the folder, or the folder cannot be written.
    """
    base = Path(log_dir).expanduser()
    if run_name is not None and (run_name in ("", ".", "..") or "\0" in run_name or Path(run_name).name != run_name):
        raise ValueError(f"--run-name: expected the name of a folder, without slashes, got {run_name!r}")
    folder = base / run_name if run_name else base
    version = 1
    while not resumes and _holds_a_run(folder):
        version += 1
        folder = base / f"{run_name or 'run'}_{version}"
    check_writable(folder)
    return folder


def check_writable(folder: Path) -> None:
    """Raise in one clear line where nothing can be written; what was made to find out is removed again."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        if not existing.is_dir():
            raise NotADirectoryError(f"{existing} is a file")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"--log-dir: expected a folder that can be written, got {str(folder)!r} ({reason})") from None


def _holds_a_run(folder: Path) -> bool:
    return folder.is_dir() and any("tfevents" in path.name for path in folder.iterdir())


def wandb_logger(folder: Path, project: str, run_name: str | None, *, resumes: bool = False) -> tuple[WandbLogger, str]:
    """A W&B logger that neither asks nor waits, and the line that says where its run is.

    Raises:
        ValueError: if ``wandb`` is not installed.
    """
    try:
        import wandb  # noqa: PLC0415  # an optional extra
    except ImportError:
        missing = "expected the package wandb, which is not installed"
        raise ValueError(f'--wandb: {missing}; run: pip install "puffer_callbacks[wandb]"') from None
    reason = offline_reason()
    settings = wandb.Settings(silent=True, console="off", x_transaction_log_flush_interval=FLUSH_SECONDS)
    folder.mkdir(parents=True, exist_ok=True)
    logger = WandbLogger(
        project=project,
        name=run_name,
        save_dir=str(folder.resolve()),  # the service process may stand in another folder
        id=_last_run_id(folder) if resumes else None,
        offline=reason is not None,
        settings=settings,
    )
    run: Any = logger.experiment
    if reason is None:
        return logger, f"W&B: {run.url}"
    return logger, f"W&B: offline ({reason}); send it with: wandb sync {Path(run.dir).parent}"


def _last_run_id(folder: Path) -> str | None:
    """The id of the newest W&B run in the folder: a resumed run goes on under it."""
    runs = sorted(path.name for path in (folder / "wandb").glob("*run-*-*") if not path.is_symlink())
    newest = max(runs, key=lambda name: name.split("-")[-2], default=None)
    return newest.split("-")[-1] if newest else None


def offline_reason() -> str | None:
    """Why W&B has to run offline, or ``None`` where it need not."""
    if os.environ.get("WANDB_MODE") in ("offline", "dryrun"):
        return "WANDB_MODE is offline"
    host = urlparse(os.environ.get("WANDB_BASE_URL", _WANDB_HOST))
    if not os.environ.get("WANDB_API_KEY") and not _has_netrc_entry(host.hostname or ""):
        return "no API key"
    try:
        socket.create_connection((host.hostname or "", host.port or 443), timeout=3).close()
    except OSError:
        return f"no network to {host.hostname}"
    return None


def _has_netrc_entry(host: str) -> bool:
    import requests.utils  # noqa: PLC0415  # comes with wandb

    return requests.utils.get_netrc_auth(f"https://{host}") is not None
