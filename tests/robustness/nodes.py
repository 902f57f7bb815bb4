"""Two nodes: ``torchrun --nnodes=2`` over two network namespaces that a virtual cable joins, with gloo.

    python -m tests.robustness.nodes

Needs root, for ``ip netns``. Three runs: both nodes reach the end; one node is killed; the cable of one is cut. In each
one rank writes, the metrics are those of both, and the node that is left ends with its rows written and the reason.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from puffer_callbacks.runs import read_run
from tests.robustness import ranks

SCENARIOS = ("both", "killed", "unplugged")
LOST_AT = 22
"""The batch that node 1 does not begin where it is lost."""
PATIENCE = 20
"""Seconds that gloo waits for a node that is silent."""
_ROOT = Path(__file__).parents[2]
_ADDRESSES = ("10.83.117.1", "10.83.117.2")


class Ranked(ranks.Ranked):
    """Stops on node 1 before a batch, until it is lost."""

    def __init__(self, scenario: str, folder: Path) -> None:
        super().__init__("even")
        self.is_lost, self.folder = scenario != "both", folder

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.is_lost and self.global_rank == 1 and batch_idx == LOST_AT:
            (self.folder / "waits").touch()
            time.sleep(600)
        return super().training_step(batch, batch_idx)


def train(scenario: str, folder: Path) -> None:
    """One node's part of the run; each is given loggers with a folder of its own."""
    warnings.simplefilter("ignore")
    own = folder / f"rank{os.environ['RANK']}"
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        num_nodes=2,
        strategy=DDPStrategy(process_group_backend="gloo", timeout=timedelta(seconds=PATIENCE)),
        max_epochs=1,
        logger=[TensorBoardLogger(own, name="", version="tensorboard"), CSVLogger(own, name="", version="csv")],
        callbacks=ranks.callbacks(),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        use_distributed_sampler=False,
    )
    trainer.fit(Ranked(scenario, folder))


@contextmanager
def namespaces() -> Iterator[list[str]]:
    """Two network namespaces, joined by a pair of interfaces that have their names.

    Raises:
        PermissionError: where namespaces are not permitted.
    """
    names = [f"pn{os.getpid()}{side}" for side in "ab"]
    try:
        try:
            for name in names:
                _ip("netns", "add", name)
            _ip("link", "add", names[0], "netns", names[0], "type", "veth", "peer", names[1], "netns", names[1])
        except (OSError, subprocess.CalledProcessError) as error:
            raise PermissionError(
                f"expected to be allowed to add network namespaces (ip netns), got {error}"
            ) from error
        for name, address in zip(names, _ADDRESSES, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", name)
            _ip("-n", name, "link", "set", name, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            kill_all(name)
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def kill_all(namespace: str) -> None:
    """Kill every process of a node at once; torchrun's workers are no part of its process group."""
    listed = subprocess.run(["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True)
    for process in listed.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)


def run(scenario: str, folder: Path, *, timeout: float = 240) -> tuple[list[int], str]:
    """Run both nodes; returns their exit statuses and what node 0 printed."""
    with namespaces() as names:
        nodes = [_start(scenario, folder, rank, name) for rank, name in enumerate(names)]
        if scenario != "both":
            _wait_for(folder / "waits", nodes, timeout=timeout)
            if scenario == "unplugged":
                _ip("-n", names[1], "link", "set", names[1], "down")
            else:
                kill_all(names[1])
        output, _ = nodes[0].communicate(timeout=timeout)
        if scenario != "both":
            kill_all(names[1])
        return [node.wait() for node in nodes], output


def _start(scenario: str, folder: Path, rank: int, namespace: str) -> "subprocess.Popen[str]":
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    torchrun += [f"--node-rank={rank}", f"--master-addr={_ADDRESSES[0]}", "--master-port=29617"]
    command = ["ip", "netns", "exec", namespace, *torchrun, "-m", __spec__.name, "--train", scenario, str(folder)]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": namespace, "OMP_NUM_THREADS": "1"}
    pipe: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if rank == 0 else {}
    quiet: Any = pipe or {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=_ROOT, env=environment, start_new_session=True, text=True, **quiet)


def _wait_for(path: Path, nodes: "Sequence[subprocess.Popen[str]]", *, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not path.exists():
        if nodes[0].poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(f"expected both nodes to train, got no {path.name}")
        time.sleep(0.1)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def found(folder: Path) -> dict[str, Any]:
    """What stands in the files of the run."""
    tensorboard = read_run(folder / "rank0" / "tensorboard")
    csv = read_run(folder / "rank0" / "csv")
    return {
        "writers": sorted(path.name for path in folder.glob("rank*")),
        "rows": {
            name: each.series("train/loss")[0].tolist() for name, each in (("tensorboard", tensorboard), ("csv", csv))
        },
        "train/rank": tensorboard.series("train/rank")[1].tolist(),
        "env_steps": tensorboard.series("time/env_steps")[1].tolist(),
        "ended_by": str(tensorboard.text.get("run/ended_by", "")),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Every scenario; prints one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=SCENARIOS, metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.train:
        train(options.train[0], Path(options.train[1]))
        return 0
    for scenario in options.scenarios:
        with tempfile.TemporaryDirectory(prefix="nodes-") as folder:
            begin = time.monotonic()
            statuses, _ = run(scenario, Path(folder))
            seconds = round(time.monotonic() - begin, 1)
            print(
                json.dumps({"run": scenario, "statuses": statuses, "seconds": seconds, **found(Path(folder))}),
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
