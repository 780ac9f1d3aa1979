"""How a lowered program runs: on any device, on many, in one process or several."""
