"""The ExMix-style set: 107 supervised English tasks, 42 more, and their mixtures."""
