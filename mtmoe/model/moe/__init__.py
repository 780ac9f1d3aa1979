"""The sparse feed-forward layer: routing, capacity, losses and statistics."""
