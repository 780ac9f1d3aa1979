"""Architectures: each makes the blocks of a stack from the fields of a model."""
