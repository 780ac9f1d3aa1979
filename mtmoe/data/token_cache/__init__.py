"""Tokens of tasks, made once and kept in files that are read at any place."""
