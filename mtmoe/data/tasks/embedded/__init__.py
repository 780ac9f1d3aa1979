"""Supervised tasks out of installed packages: their rows, splits and registration.

Where a package is missing or damaged, whatever reads it raises a CorpusError that says
what to install.
"""
