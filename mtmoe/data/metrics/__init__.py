"""Scores of predictions, one function each.

In: targets and predictions. Out: numbers by name. It must not know tasks.
"""
