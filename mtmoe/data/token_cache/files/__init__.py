"""The files of a cached split, byte by byte."""
