"""How a lowered program runs: on any device, on many, in one process or several.

In go a build function, a layout and arrays; out come arrays on devices. `program` is
the way in. Nothing here knows a model, a task, a checkpoint or gin files.
"""
