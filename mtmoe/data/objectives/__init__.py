"""Pretraining objectives: one module an objective."""
