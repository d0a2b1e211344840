"""``python -m printobs``: the same as the command ``printobs``."""

import sys

from printobs.assembly.cli import main

if __name__ == "__main__":
    sys.exit(main())
