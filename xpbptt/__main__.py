"""``python -m xpbptt``: the command line."""

import sys

from xpbptt.cli import main

if __name__ == "__main__":
    sys.exit(main())
