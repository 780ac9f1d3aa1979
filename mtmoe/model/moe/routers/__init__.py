"""Who sees which expert, one file a router.

In: the tokens of groups (`interface.RouterInput`). Out: slots, weights and losses
(`interface.RouterOutput`). A router must not know layouts, microbatches or layers.
"""
