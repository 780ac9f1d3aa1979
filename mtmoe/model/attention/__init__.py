"""Attention: heads, masks and softmax, and the sublayers that attend.

In: the residual stream and what a sublayer may look at. Out: the same shape.
"""
