"""Training: the loop, what it computes in a step, and what it leaves behind."""
