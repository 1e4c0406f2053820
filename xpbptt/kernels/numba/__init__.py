"""The target Numba: compiled cells for NumPy's arrays."""
