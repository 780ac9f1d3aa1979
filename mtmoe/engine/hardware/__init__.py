"""What there is to run on: cores, devices, drivers, and TPU slices by name.

In go names and the machine itself; out come facts. Knows no layout and no program.
"""
