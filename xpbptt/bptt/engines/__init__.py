"""Engines: how the steps of a segment are run, forward and back."""
