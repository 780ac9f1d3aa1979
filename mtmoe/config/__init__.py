"""Gin files: found, checked before anything runs, and loaded."""
