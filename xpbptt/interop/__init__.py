"""Weights from and to other libraries, without importing them."""
