"""What ``python -m xpbptt selftest`` does: checks on this machine, for a report to paste."""
