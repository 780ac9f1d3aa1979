"""Scripts that an exported program carries: they run without mtmoe and TensorFlow.

They import Python's library, NumPy, JAX, and each other by their file names.
"""
