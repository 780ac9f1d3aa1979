"""Checkpoints that are there in full or not at all."""
