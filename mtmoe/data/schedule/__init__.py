"""Which example stands where: positions of tasks, stages, packed rows.

In: rates, and sizes of examples. Out: task, row and place of every example of any
step, by computation alone. It must not know tokens.
"""
