"""Where text and examples come from, one file a format.

In: files, packages and functions. Out: documents and examples as strings, checked one
by one, each with its file and line. It must not know what a vocabulary is, or what
becomes of the text.
"""
