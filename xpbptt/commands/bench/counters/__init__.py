"""Counting the calls of an array library while xpbptt computes a row, each in its own way."""
