"""Examples that are scored: of a split, of a text file, of a prompt.

In: rows with keys of their own. Out: the same examples every time, and the bytes
their targets stand for. It must not know training batches.
"""
