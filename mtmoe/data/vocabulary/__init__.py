"""Text to tokens and back: byte, SentencePiece and fitted vocabularies.

In: text. Out: token ids, and the bytes they stand for. It must not know tasks.
"""
