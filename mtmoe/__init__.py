"""mtmoe: pretrain one sparse text-to-text model on many languages and tasks."""

from mtmoe import moved

__version__ = "0.1.0"

moved.install()
