"""The target LLVM: cells and their loop over time compiled for NumPy's arrays."""
