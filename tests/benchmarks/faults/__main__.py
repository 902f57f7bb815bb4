"""``python -m tests.benchmarks.faults train --out DIR`` trains the runs, ``judge DIR`` prints what was found."""

import argparse
import re
import sys
from pathlib import Path

from tests.benchmarks.faults.jobs import all_jobs
from tests.benchmarks.faults.train import train


def main() -> int:
    """Run one of the two parts."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.faults", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    training = parts.add_parser("train", help="train the runs and record them")
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--workers", type=int, default=1)
    training.add_argument("--minutes", type=float, default=60.0)
    training.add_argument("--limit", type=int, help="the first so many runs")
    training.add_argument("--only", default="", help="a regular expression that the runs' names contain")
    training.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    judging = parts.add_parser("judge", help="judge recorded runs")
    judging.add_argument("folder", type=Path)
    judging.add_argument("--verbose", action="store_true", help="one line for each run")
    judging.add_argument("--sparse", action="store_true", help="only what default_callbacks log")
    judging.add_argument("--live", action="store_true", help="healthy runs again and again while they train")
    rivals = parts.add_parser("rivals", help="judge them by doctors from PyPI")
    rivals.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.part == "rivals":
        from tests.benchmarks.faults.rivals import judge as judge_by_rivals

        return judge_by_rivals(options.folder)
    if options.part == "judge":
        from tests.benchmarks.faults.judge import judge

        return judge(options.folder, verbose=options.verbose, sparse=options.sparse, live=options.live)
    jobs = [job for job in all_jobs(seeds=tuple(options.seeds)) if re.search(options.only, job.key)][: options.limit]
    train(jobs, options.out, workers=options.workers, minutes=options.minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
