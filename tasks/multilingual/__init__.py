"""Multilingual evaluation suites: those of mT5, and the others of the field."""
