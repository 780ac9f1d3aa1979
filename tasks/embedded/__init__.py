"""Tasks over the embedded corpus."""
