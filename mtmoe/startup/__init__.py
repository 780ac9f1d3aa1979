"""How a process starts: its memory, what it imports, when it collects garbage."""
