"""The tokens of a split on disk: written once, read at any place.

In: a task and a split. Out: tokens by place and examples by number, checked; a name
of the content without reading it. It must not know what becomes of the tokens.
"""
