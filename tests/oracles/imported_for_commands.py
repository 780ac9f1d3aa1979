"""Imports what `mtmoe train` does, for processes that are forked afterwards."""

import os

os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)

from mtmoe.startup.importing import import_tensorflow
from mtmoe.startup.memory import keep_freed_memory

keep_freed_memory()
import_tensorflow()

import mtmoe.train.check
import mtmoe.train.loop  # noqa: F401
from mtmoe.config.registry import import_rooms

import_rooms()
