"""What a model is asked about a text, one file an objective.

In: rows of tokens, and a key a row. Out: rows of inputs and targets, and their sizes
before they are made. It must not know where tokens come from or who packs them.
"""
