"""Layers: maps from sequences to sequences, and what puts them together."""
