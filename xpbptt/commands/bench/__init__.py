"""What ``python -m xpbptt bench`` does: times on this machine, beside those of other libraries."""
