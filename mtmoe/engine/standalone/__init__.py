"""Files that run where neither mtmoe nor TensorFlow is: an exported program takes them.

They import what Python, NumPy and JAX have, and each other by their file names.
"""
