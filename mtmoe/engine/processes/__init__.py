"""The processes of a run: who is who, what they agree on, how they end together.

In go the environment and small JSON; out come numbers, texts and exit statuses. Knows
no device and no program, and imports JAX only where there are several processes.
"""
