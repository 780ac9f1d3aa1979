"""What is computed: tokens become logits, and the routing of experts.

In: tokens on a mesh (`features`). Out: logits and routing (`forward`), generated tokens
(`decoding`), sizes by formula (`sizes`). It must not know optimizers, files or data.
"""
