"""The command line, ``python -m xpbptt``."""
