"""Supervised tasks out of installed packages: their rows, splits and registration."""
