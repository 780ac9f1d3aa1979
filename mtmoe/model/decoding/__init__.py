"""From logits to sequences: what is decoded how, and what a given sequence scores.

In: a model with a decoder, and inputs. Out: tokens and scores. It must not know how a
sublayer keeps its state.
"""
