"""What every room stands on: keys of noise, rows of tokens, cached objects.

Nothing here knows what a task or a text is.
"""
