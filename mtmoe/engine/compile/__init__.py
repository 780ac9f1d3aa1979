"""From a build function to an executable, in this process or another.

In go a build function or a lowered program, a mesh and XLA's options; out comes what
can be called with arrays. Knows no variables' values.
"""
