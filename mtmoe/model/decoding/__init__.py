"""From logits to sequences: what is decoded how, and what a given sequence scores."""
