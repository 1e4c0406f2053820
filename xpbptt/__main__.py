"""``python -m xpbptt``: the command line."""

import sys

from xpbptt.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
