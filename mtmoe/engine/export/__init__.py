"""A program as files that run without mtmoe, and the scripts that run them.

In go a lowered program and batches; out comes a folder. Knows no model.
"""
