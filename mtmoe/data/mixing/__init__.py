"""Which task supplies how much."""
