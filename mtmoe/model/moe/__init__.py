"""The layer of experts: configuration, groups, slots, losses, and its routers.

In: tokens of whole rows. Out: what their experts make of them, and how they were
routed. It must not know where in a stack it stands.
"""
