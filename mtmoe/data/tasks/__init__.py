"""What a task is: its card, its registration, its form, and whether it is sound.

In: sources, vocabularies, objectives and metrics. Out: SeqIO tasks that can be looked
up, listed, shown and verified. It must not know of caches, batches or mixtures.
"""
