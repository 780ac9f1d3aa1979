"""A model folder turned into a page a reader can decide from (no TensorFlow)."""
