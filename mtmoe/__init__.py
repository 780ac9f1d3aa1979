"""mtmoe: pretrain one sparse text-to-text model on many languages and tasks."""

__version__ = "0.1.0"
