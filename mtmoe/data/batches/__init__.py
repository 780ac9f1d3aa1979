"""Batches of a training run, each a function of the seed and its step.

In: a mixture, lengths, a schedule. Out: arrays of tokens, segments and tasks. It
knows all rooms of data/, and nothing of models.
"""
