"""Conversations and answers to commands.

embedded.reply.<code>                    the next line of a conversation
embedded.home_assistant_response.<code>  what a home assistant answers to a command
"""

from __future__ import annotations

from mtmoe.data.metrics.generation import chrf_plus_plus
from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.tasks.embedded import chatterbot, commands, replies
from mtmoe.data.tasks.embedded.registration import (
    EmbeddedKind,
    languages_of,
    register_kinds,
)

REPLY_LANGUAGES = languages_of(
    "bn de en es fa fr hi id it iw ja ko mr nl pt ru sv tr uk yo zh"
)
RESPONSE_LANGUAGES = languages_of(
    "ar bg bn ca cs cy da de el en es et eu fa fi fr ga gl gu hi hu hy id is it iw kn "
    "ko lb lt lv ml ms ne nl no pa pl pt ro ru sk sl sr sv sw ta te th tr uk ur vi zh"
)

KINDS = (
    EmbeddedKind(
        "reply",
        REPLY_LANGUAGES,
        replies.reply_rows,
        family="dialogue",
        metrics=(chrf_plus_plus,),
        scores=("chrf++",),
        labels="gold",
        origin=chatterbot.ORIGIN,
        licence=chatterbot.LICENCE,
    ),
    EmbeddedKind(
        "home_assistant_response",
        RESPONSE_LANGUAGES,
        replies.response_rows,
        family="dialogue",
        metrics=(exact_match, chrf_plus_plus),
        scores=("exact_match", "chrf++"),
        labels="gold",
        origin=commands.ORIGIN,
        licence=commands.LICENCE,
        note="names of rooms and devices are made-up labels such as K7",
    ),
)

TASKS = register_kinds(KINDS)
