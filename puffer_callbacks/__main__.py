"""``python -m puffer_callbacks`` is ``puffer-callbacks``."""

import sys

from puffer_callbacks.cli import main

if __name__ == "__main__":
    sys.exit(main())
