"""A W&B run that neither asks nor waits."""

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers import WandbLogger

from puffer_callbacks.backends.retrying_writer import FLUSH_SECONDS
from puffer_callbacks.cli.folders import RunFolder
from puffer_callbacks.cli.parser import UsageError

_HOST = "https://api.wandb.ai"


def check_installed() -> None:
    """Raise in one line where the package ``wandb`` is missing."""
    try:
        import wandb  # noqa: F401, PLC0415  # an optional extra
    except ImportError:
        missing = "expected the package wandb, which is not installed"
        raise UsageError(f'--wandb: {missing}; run: pip install "puffer_callbacks[wandb]"') from None


def wandb_logger(folder: RunFolder, project: str, run_name: str | None) -> WandbLogger:
    """A logger whose run is open, online where there is an API key and a network.

    Args:
        folder: the run's files are in its ``wandb``; where it is continued, the newest of them keeps its id.
        project: W&B's project.
        run_name: shown by W&B.
    """
    import wandb  # noqa: PLC0415  # an optional extra

    run = wandb.init(  # not by the logger, which passes settings that W&B warns about
        project=project,
        name=run_name,
        dir=str(folder.path.resolve()),  # the service process may be in another folder
        id=_last_run_id(folder.path) if folder.is_continued else None,
        resume="allow",
        mode="online" if offline_reason() is None else "offline",
        settings=wandb.Settings(silent=True, console="off", **_flush_soon(wandb.Settings)),
    )
    return WandbLogger(experiment=run, save_dir=str(folder.path))


def _flush_soon(settings: Any) -> dict[str, Any]:
    """W&B writes its own file soon, where its release has the setting."""
    name = "x_transaction_log_flush_interval"
    return {name: FLUSH_SECONDS} if name in getattr(settings, "model_fields", {}) else {}


def location(logger: WandbLogger) -> str:
    """Where the run is to be seen."""
    run: Any = logger.experiment
    return str(run.url) if not run.offline and run.url else f"offline ({offline_reason()})"


def offline_folder(logger: WandbLogger) -> Path | None:
    """The folder of an offline run, which ``wandb sync`` sends; ``None`` for one that is online."""
    run: Any = logger.experiment
    return Path(run.dir).parent if run.offline else None


def offline_reason() -> str | None:
    """Why W&B has to run offline, or ``None`` where it need not."""
    if os.environ.get("WANDB_MODE") in ("offline", "dryrun"):
        return "WANDB_MODE is offline"
    host = urlparse(os.environ.get("WANDB_BASE_URL", _HOST))
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


def _last_run_id(folder: Path) -> str | None:
    """The id of the newest W&B run in the folder."""
    runs = sorted(path.name for path in (folder / "wandb").glob("*run-*-*") if not path.is_symlink())
    newest = max(runs, key=lambda name: name.split("-")[-2], default=None)
    return newest.split("-")[-1] if newest else None
