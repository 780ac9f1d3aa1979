"""Architectures: one file each, made of the blocks of `t5` or of its own.

In: a `StackPlan`, or the fields of a model. Out: a stack, an embedding or logits.
"""
