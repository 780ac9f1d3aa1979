"""Published records of the ExMix rows that write text, and the text made of them."""

from __future__ import annotations

GEM_IDS = {"gem_id": "x-1", "gem_parent_id": "x-1"}


def cell(value, is_header=False, column_span=1):
    return {
        "value": value,
        "is_header": is_header,
        "column_span": column_span,
        "row_span": 1,
    }


# builder/config, record -> task, inputs, targets
RECORDS = [
    (
        "cnn_dailymail",
        {
            "article": "The harbour of Oslo froze on Monday. Ferries stayed in port.",
            "highlights": "Ice stops ferries in Oslo .",
            "id": "1",
            "publisher": "cnn",
        },
        "exmix.cnn_dailymail",
        "summarize: The harbour of Oslo froze on Monday. Ferries stayed in port.",
        "Ice stops ferries in Oslo .",
    ),
    (
        "gem/common_gen",
        GEM_IDS
        | {
            "concept_set_id": 3,
            "concepts": ["ski", "mountain", "skier"],
            "target": "A skier skis down a mountain.",
            "references": [],
        },
        "exmix.gem_common_gen",
        "common_gen concepts: ski, mountain, skier",
        "A skier skis down a mountain.",
    ),
    (
        "gem/totto",
        GEM_IDS
        | {
            "totto_id": 1,
            "table_page_title": "Anna Berg",
            "table_webpage_url": "http://example.org",
            "table_section_title": "Films",
            "table_section_text": "",
            "table": [
                [cell("Film", True, 2), cell("Year", True)],
                [cell("Title", True), cell("Role", True), cell("", True)],
                [cell("Winter", True), cell("Clara"), cell("1998")],
                [cell("Harbour", True), cell("Ida"), cell("2001")],
            ],
            "highlighted_cells": [[3, 1], [2, 2]],
            "example_id": "7",
            "overlap_subset": "none",
            "sentence_annotations": [],
            "target": "Anna Berg played Ida in Harbour.",
            "references": [],
        },
        "exmix.gem_totto",
        "totto: <page_title> Anna Berg </page_title> <section_title> Films "
        "</section_title> <table> <cell> Ida <col_header> Film </col_header> "
        "<col_header> Role </col_header> <row_header> Harbour </row_header> </cell> "
        "<cell> 1998 <col_header> Year </col_header> <col_header> </col_header> "
        "<row_header> Winter </row_header> </cell> </table>",
        "Anna Berg played Ida in Harbour.",
    ),
    (
        "gem/schema_guided_dialog",
        GEM_IDS
        | {
            "dialog_id": "1_00000",
            "service": "Restaurants_1",
            "turn_id": 3,
            "context": ["I want to eat.", "In which city?", "San Jose, please."],
            "prompt": "San Jose, please.",
            "dialog_acts": [
                {"act": "OFFER", "slot": "restaurant_name", "values": ["Sino"]},
                {"act": "REQUEST", "slot": "date", "values": ["today", "Monday"]},
                {"act": "REQ_MORE", "slot": "", "values": []},
            ],
            "target": "How about Sino?",
            "references": ["How about Sino?", "Would you like Sino?"],
        },
        "exmix.gem_schema_guided_dialog",
        "schema_guided_reply acts: OFFER(restaurant_name=Sino) | REQUEST(date=today, "
        "Monday) | REQ_MORE turn: San Jose, please. before: I want to eat. In which "
        "city?",
        "How about Sino?",
    ),
    (
        "gem/wiki_auto_asset_turk",
        GEM_IDS
        | {
            "source": "The vessel was constructed in 1912 .",
            "target": "The ship was built in 1912 .",
            "references": [],
        },
        "exmix.gem_wiki_auto_asset_turk",
        "simplify text: The vessel was constructed in 1912 .",
        "The ship was built in 1912 .",
    ),
    (
        "wiki_auto/auto_acl",
        {"normal_sentence": "It commenced .\n", "simple_sentence": "It began .\n"},
        "extra.wiki_auto",
        "simplify text: It commenced .",
        "It began .",
    ),
    (
        "web_nlg",
        {
            "input_text": {
                "table": [
                    {"column_header": header, "content": content, "row_number": row}
                    for row, triple in (
                        (0, ("Oslo", "country", "Norway")),
                        (2, ("Norway", "capital", "Oslo")),
                    )
                    for header, content in zip(
                        ("subject", "predicate", "object"), triple, strict=True
                    )
                ],
                "context": "City",
            },
            "target_text": "Oslo is the capital of Norway.",
        },
        "extra.web_nlg_tfds",
        "web_nlg triples: Oslo | country | Norway && Norway | capital | Oslo",
        "Oslo is the capital of Norway.",
    ),
    (
        "wiki_bio",
        {
            "input_text": {
                "table": [
                    {"column_header": "name", "content": "anna berg", "row_number": 1},
                    {"column_header": "born", "content": "1970", "row_number": 1},
                ],
                "context": "anna berg\n",
            },
            "target_text": "anna berg was born in 1970 .\nshe sings .\n",
        },
        "extra.wiki_bio",
        "wiki_bio table: anna berg | name: anna berg | born: 1970",
        "anna berg was born in 1970 . she sings .",
    ),
    (
        "clinc_oos",
        {
            "text": "send money to anna",
            "intent": 1,
            "domain": 2,
            "intent_name": "transfer_money",
            "domain_name": "banking",
        },
        "exmix.dialoglue_clinc150",
        "clinc150 text: send money to anna",
        "transfer money",
    ),
    (
        "q_re_cc",
        {
            "context": ["Who is Anna Berg?", "A singer."],
            "question": "Where was she born?",
            "question_rewrite": "Where was Anna Berg born?",
            "answer": "Oslo",
            "answer_url": "",
            "conversation_id": 1,
            "turn_id": 2,
            "source": "quac",
        },
        "extra.qrecc",
        "qrecc question: Where was she born? before: Who is Anna Berg? A singer.",
        "Where was Anna Berg born?",
    ),
    (
        "gsm8k",
        {
            "question": "A box has 1,200 nails. How many are in two?",
            "answer": "Two have 2*1200 = <<2*1200=2400>>2400.\n#### 2,400",
            "annotation": "Two have 2*1200 = <<2*1200=2400>>2400.\n",
            "short_answer": "2,400",
        },
        "extra.gsm8k",
        "gsm8k question: A box has 1,200 nails. How many are in two?",
        "Two have 2*1200 = 2400. #### 2,400",
    ),
    (
        "cfq/random_split",
        {
            "question": "Did M0 direct M1",
            "query": "SELECT count(*) WHERE {\nM0 film.director.film M1\n}",
        },
        "exmix.cfq",
        "cfq question: Did M0 direct M1",
        "SELECT count(*) WHERE { M0 film.director.film M1 }",
    ),
    (
        "gap",
        {
            "ID": "train-1",
            "Text": "Zoë met Clara in Málaga before she left.",
            "Pronoun": "she",
            "Pronoun-offset": 31,
            "A": "Zoë",
            "A-offset": 0,
            "A-coref": False,
            "B": "Clara",
            "B-offset": 8,
            "B-coref": True,
            "URL": "http://example.org",
        },
        "extra.gap",
        "gap A: Zoë B: Clara text: Zoë met Clara in Málaga before *she* left.",
        "Clara",
    ),
]

POLYAI = {
    "userInput": {"text": "8 pm on Sunday for Anna"},
    "context": {"requestedSlots": ["time", "date"]},
    "labels": [
        {"slot": "date", "valueSpan": {"startIndex": 8, "endIndex": 14}},
        {"slot": "time", "valueSpan": {"endIndex": 4}},
    ],
}

# task -> record, inputs, targets
FILE_RECORDS = {
    "kilt_wow": (
        {
            "id": "1",
            "input": "I like ski jumping.\nSince when?\nI saw it in Oslo.",
            "output": [
                {"answer": "Oslo has a famous hill.", "provenance": []},
                {"provenance": [{"title": "Oslo"}]},
                {"answer": "Holmenkollen?"},
            ],
        },
        "wizard_of_wikipedia turn: I saw it in Oslo. before: I like ski jumping. Since "
        "when?",
        "Oslo has a famous hill.",
    ),
    "dialoglue_banking77": (
        {"text": "Where is my card?", "category": "card_arrival"},
        "banking77 text: Where is my card?",
        "card arrival",
    ),
    "dialoglue_hwu64": (
        {"text": "wake me at six", "category": "alarm_set"},
        "hwu64 text: wake me at six",
        "alarm set",
    ),
    "dialoglue_restaurant8k": (
        POLYAI,
        "restaurant8k requested: time, date text: 8 pm on Sunday for Anna",
        "time: 8 pm $$ date: Sunday",
    ),
    "dialoglue_dstc8_sgd": (
        {"userInput": {"text": "Sounds good."}},
        "dstc8_sgd text: Sounds good.",
        "none",
    ),
    "dialoglue_top": (
        {
            "utterance": "Traffic to work",
            "parse": "[IN:GET_INFO_TRAFFIC Traffic to [SL:DESTINATION work ] ]",
        },
        "top utterance: Traffic to work",
        "[IN:GET_INFO_TRAFFIC Traffic to [SL:DESTINATION work ] ]",
    ),
    "funql_atis": (
        {"question": "flights to oslo", "logical_form": "answer(flight(to_1(oslo)))"},
        "funql_atis question: flights to oslo",
        "answer(flight(to_1(oslo)))",
    ),
    "funql_geo": (
        {"question": "how large is utah", "logical_form": "answer(size(s('utah')))"},
        "funql_geo question: how large is utah",
        "answer(size(s('utah')))",
    ),
    "funql_jobs": (
        {"question": "jobs on pc ?", "logical_form": "answer(job(p_1(const(pc))))"},
        "funql_jobs question: jobs on pc ?",
        "answer(job(p_1(const(pc))))",
    ),
    "cogs": (
        {
            "sentence": "A bird flew .",
            "logical_form": "bird ( x _ 1 ) AND fly . agent ( x _ 2 , x _ 1 )",
            "type": "in_distribution",
        },
        "cogs sentence: A bird flew .",
        "bird ( x _ 1 ) AND fly . agent ( x _ 2 , x _ 1 )",
    ),
    **{
        f"styleptb_{number}": (
            {
                "transfer": "to future tense",
                "source": "It rained all day",
                "target": "It will rain all day",
            },
            "styleptb to future tense: It rained all day",
            "It will rain all day",
        )
        for number in (1, 2, 3, 4)
    },
    "shakespeare_modern_to_original": (
        {"original": "Thou art late .", "modern": "You are late ."},
        "shakespeare modern to original: You are late .",
        "Thou art late .",
    ),
    "shakespeare_original_to_modern": (
        {"original": "Thou art late .", "modern": "You are late ."},
        "shakespeare original to modern: Thou art late .",
        "You are late .",
    ),
    "newsquizqa": (
        {
            "url": "http://example.org",
            "article": "The harbour of Oslo\nfroze on Monday.",
            "question": "Which harbour froze?",
            "answer": "Oslo's",
        },
        "newsquizqa article: The harbour of Oslo froze on Monday.",
        "question: Which harbour froze? answer: Oslo's",
    ),
}
