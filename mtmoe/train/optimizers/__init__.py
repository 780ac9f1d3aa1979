"""Optimizers: what turns gradients into assignments, one mesh operation a variable."""
