"""Kills runs at random moments, resumes them, and looks for gaps and duplicates in every backend.

    python -m tests.robustness.kills --kills 100

The parent imports everything once and forks a child for each life, so a kill costs a second, not ten.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch

from tests.robustness import records
from tests.robustness.lives import BACKENDS, Child, live, warm_up

ROLLOUTS_A_KILL = 25
"""How much longer a run is for each kill: most of it is done by the time of the last one."""
EARLY = 0.15
"""The share of kills that come anywhere from the first moment on."""


@dataclass
class Chain:
    """A run that is killed several times, and what its backends say in the end.

    Args:
        folder: where it logs and keeps its checkpoint.
        kills: how often it is killed.
        seed: of the moments.
        backends: what it logs to.
    """

    folder: Path
    kills: int
    seed: int
    backends: Sequence[str] = BACKENDS
    killed: int = 0
    resumed: int = 0

    def run(self) -> list[str]:
        """Live and die; returns what is wrong, nothing if all is well."""
        rollouts = ROLLOUTS_A_KILL * (self.kills + 1)
        random = Random(self.seed)
        while self.killed < self.kills:
            child = self._life(rollouts)
            started, pause = time.monotonic(), random.uniform(0.0, 1.0)
            if random.random() > EARLY:  # after the training began, else while it opens its files
                child.wait_until_begun()
                pause *= max(1.0, time.monotonic() - started)  # a slow machine trains slowly
            time.sleep(pause)
            child.kill()
            if child.wait() >= 0:  # it had ended before
                break
            self.killed += 1
            if problem := self._torn():
                return [problem]
        status = self._life(rollouts).wait()
        if status != 0:
            return [f"the last life ended with {status}: {(self.folder / 'log').read_text()[-2000:]}"]
        return [
            f"{backend}: {problem}"
            for backend in self.backends
            for problem in records.problems(records.read(backend, self.folder), rollouts)
        ]

    def _life(self, rollouts: int) -> Child:
        self.resumed += (self.folder / "checkpoints" / "last.ckpt").exists()
        return Child(
            lambda began: live(began, self.folder, rollouts=rollouts, backends=self.backends),
            self.folder / "log",
        )

    def _torn(self) -> str | None:
        """What the checkpoint believes written has to be there at once, before anything is resumed."""
        path = self.folder / "checkpoints" / "last.ckpt"
        if not path.exists():
            return None
        state = torch.load(path, weights_only=True)["callbacks"]["Recorder"]
        last = state["row_log"]["last_step"] or 0
        for backend in self.backends:
            if backend != "wandb":  # which buffers; the checkpoint carries what it may lose
                steps = records.read(backend, self.folder).get("time/env_steps", [])
                missing = [step for step in records.expected(len(steps))["time/env_steps"] if step <= last]
                if not set(missing) <= set(steps):
                    return f"{backend}: written before the checkpoint of {last}, and gone: {missing[:9]}"
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run chains until so many kills are done; 0 if no record has a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kills-a-run", type=int, default=5)
    parser.add_argument("--wandb-every", type=int, default=4, help="every n-th run logs to W&B too")
    parser.add_argument("--wandb-kills", type=int, default=5, help="how often such a run is killed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    warm_up()
    killed = resumed = failed = at = 0
    while killed < options.kills:
        folder = Path(tempfile.mkdtemp(prefix="kills-"))
        with_wandb = options.wandb_every and at % options.wandb_every == 0
        backends = BACKENDS if with_wandb else ("tensorboard", "csv")
        kills = min(options.wandb_kills if with_wandb else options.kills_a_run, options.kills - killed)
        chain = Chain(folder, kills=kills, seed=options.seed + at, backends=backends)
        problems = chain.run()
        killed, resumed, failed, at = (
            killed + chain.killed,
            resumed + chain.resumed,
            failed + bool(problems),
            at + 1,
        )
        print(
            json.dumps({"run": at, "backends": backends, "kills": chain.killed, "problems": problems}),
            flush=True,
        )
        if problems:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    print(json.dumps({"runs": at, "kills": killed, "resumed": resumed, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
