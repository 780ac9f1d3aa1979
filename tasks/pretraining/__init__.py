"""Self-supervised tasks over web text: mC4 and C4."""
