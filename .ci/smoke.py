"""A short run of the installed package: the command line trains, and the run is read back."""

import subprocess
import sys
from pathlib import Path

from puffer_callbacks.histogram.native import IS_COMPILED
from puffer_callbacks.runs import read_run

without_kernel = sys.argv[1] == "1"
assert without_kernel != IS_COMPILED, f"expected the kernel {'off' if without_kernel else 'on'}"
folder = Path(f"run-{sys.argv[1]}")
program = Path(sys.executable).with_name("puffer-callbacks")
options = ["--env", "CartPole", "--total-timesteps", "4096", "--log-dir", str(folder)]
subprocess.run([program, "train", *options], check=True, stdout=subprocess.DEVNULL)
run = read_run(folder)
assert "train/reward" in run.tags, run.tags
assert any(tag.startswith("weights/") for tag in run.histograms), list(run.histograms)
print(f"smoke test passed, kernel {'off' if without_kernel else 'on'}: {len(run.tags)} tags")
