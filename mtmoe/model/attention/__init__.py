"""Attention: which positions look at which, and the projections around it."""
