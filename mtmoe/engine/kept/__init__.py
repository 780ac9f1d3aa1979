"""What one process leaves to the next: files, the keys they have, whose turn it is.

In go picklable values and keys; out come the values, or None. Does not know how a
program is lowered or compiled.
"""
