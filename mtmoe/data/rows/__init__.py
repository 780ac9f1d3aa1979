"""Numbered rows of a task, cached or streamed, and the recipes that finish them.

In: cached tokens and an objective. Out: examples of any rows, and their sizes before
they are made. It must not know which rows a batch takes.
"""
