"""The target CUDA: compiled cells for CuPy's arrays."""
