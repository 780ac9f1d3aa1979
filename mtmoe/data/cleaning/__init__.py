"""Cleaning of raw web text, by the rules of published corpora."""
