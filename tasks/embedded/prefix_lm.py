"""Prefix language modelling over the embedded corpus, as for span corruption.

    embedded.prefix_lm.<code>    101 tasks, splits `train` and `validation`
    embedded.prefix_lm           all of them, rate ~ characters^0.3

Importing this module reads no file; the corpus is built or loaded at first use.
"""

from __future__ import annotations

from mtmoe.data.objectives.prefix_lm import PrefixLM
from mtmoe.tasks.embedded.span_corruption import register_corpus_texts

MIXTURE = "embedded.prefix_lm"

register_corpus_texts(MIXTURE, PrefixLM())
