"""Which task how often: sizes, rates, UniMax, stages, and the plan of a run.

In: tasks and what is known of their sizes. Out: rates by task and epochs by language.
It must not know rows or batches.
"""
