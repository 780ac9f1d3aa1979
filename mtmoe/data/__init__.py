"""How text becomes a batch."""
