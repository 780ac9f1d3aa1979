"""Published records of the ExMix rows that ask for a label, a choice or an answer."""

from __future__ import annotations

from mtmoe.tasks.exmix.classification import GO_EMOTIONS

_ARTICLE = "The mill burned down in 1911. It was rebuilt of brick."

HAND_WRITTEN = {
    "glue_mnli": (
        "glue/mnli",
        {"premise": "It rains.", "hypothesis": "It is dry.", "label": 2, "idx": 7},
        [("mnli hypothesis: It is dry. premise: It rains.", "contradiction")],
    ),
    "super_glue_copa": (
        "super_glue/copa",
        {
            "premise": "The glass fell.",
            "choice1": "It broke.",
            "choice2": "It sang.",
            "question": "effect",
            "label": 0,
            "idx": 1,
        },
        [
            (
                "copa choice1: It broke. choice2: It sang. premise: The glass fell. "
                "question: effect",
                "choice1",
            )
        ],
    ),
    "glue_stsb": (
        "glue/stsb",
        {"sentence1": "A cat.", "sentence2": "A dog.", "label": 1.73, "idx": 0},
        [("stsb sentence1: A cat. sentence2: A dog.", "1.8")],
    ),
    "sentiment140": (
        "sentiment140",
        {
            "text": "what a day",
            "polarity": 4,
            "date": "Mon",
            "query": "NO_QUERY",
            "user": "x",
        },
        [("sentiment140 text: what a day", "positive")],
    ),
    "wiki_toxicity": (
        "wikipedia_toxicity_subtypes",
        {
            "text": "Thank you.",
            "id": "1",
            "language": "en",
            **dict.fromkeys(
                "identity_attack insult obscene severe_toxicity threat".split(), 0.0
            ),
            "toxicity": 0.49,
        },
        [("wiki_toxicity text: Thank you.", "not toxic")],
    ),
    "esnli": (
        "esnli",
        {
            "premise": "A man sleeps.",
            "hypothesis": "A man is awake.",
            "label": 2,
            "explanation_1": "Who sleeps is not awake.",
            "explanation_2": "Sleeping is the opposite.",
            "explanation_3": "",
        },
        [
            (
                "explain nli hypothesis: A man is awake. premise: A man sleeps.",
                "contradiction explanation: Who sleeps is not awake.",
            )
        ],
    ),
    "rainbow_winogrande": (
        "winogrande",
        {
            "sentence": "The cup did not fit the shelf as the _ was tall.",
            "option1": "cup",
            "option2": "shelf",
            "label": 0,
        },
        [
            (
                "winogrande sentence: The cup did not fit the shelf as the _ was tall. "
                "choices: (A) cup (B) shelf",
                "A",
            )
        ],
    ),
    "qasc": (
        "qasc",
        {
            "question": "What makes tides?",
            "choices": [
                {"label": "A", "text": "wind"},
                {"label": "B", "text": "the moon"},
                {"label": "C", "text": "fish"},
            ],
            "answerKey": "B",
            **dict.fromkeys("combinedfact fact1 fact2 formatted_question".split(), "x"),
            "id": "1",
        },
        [
            (
                "qasc question: What makes tides? "
                "choices: (A) wind (B) the moon (C) fish",
                "B",
            )
        ],
    ),
    "race_middle": (
        "race/middle",
        {
            "article": f"{_ARTICLE}\n It stands.",
            "questions": ["When did it burn?", "It is of _ ."],
            "options": [["1900", "1911", "1920", "1930"], ["wood", "clay", "x", "y"]],
            "answers": ["B", "A"],
            "example_id": "middle1.txt",
        },
        [
            (
                "race question: When did it burn? choices: (A) 1900 (B) 1911 (C) 1920 "
                f"(D) 1930 article: {_ARTICLE} It stands.",
                "B",
            ),
            (
                "race question: It is of _ . choices: (A) wood (B) clay (C) x (D) y "
                f"article: {_ARTICLE} It stands.",
                "A",
            ),
        ],
    ),
    "coqa": (
        "coqa",
        {
            "story": _ARTICLE,
            "source": "wikipedia",
            "questions": ["What burned?", "When?", "Rebuilt of wood?", "Of what?"],
            "answers": [
                {"input_text": text, "answer_start": 0, "answer_end": 1}
                for text in ("the mill", "1911", "no", "brick")
            ],
        },
        [
            (f"coqa question: What burned? history: story: {_ARTICLE}", "the mill"),
            (
                "coqa question: When? history: Q: What burned? A: the mill "
                f"story: {_ARTICLE}",
                "1911",
            ),
            (
                "coqa question: Rebuilt of wood? history: Q: What burned? A: the mill "
                f"Q: When? A: 1911 story: {_ARTICLE}",
                "no",
            ),
            (
                "coqa question: Of what? history: Q: When? A: 1911 "
                f"Q: Rebuilt of wood? A: no story: {_ARTICLE}",
                "brick",
            ),
        ],
    ),
    "squad_v2": (
        "squad/v2.0",
        {
            "id": "1",
            "title": "Mill",
            "context": _ARTICLE,
            "question": "Who burned it?",
            "answers": [],
            "plausible_answers": [],
            "is_impossible": True,
        },
        [
            (
                "question: Who burned it ? context: The mill burned down in 1911 . "
                "It was rebuilt of brick . ",
                "unanswerable",
            )
        ],
    ),
    "drop": (
        "drop",
        {
            "passage": _ARTICLE,
            "question": "How many bricks?",
            "answer": "",
            "validated_answers": ["12", "12"],
            "query_id": "1",
        },
        [(f"drop question: How many bricks? passage: {_ARTICLE}", "12")],
    ),
    "quac": (
        "quac",
        {
            "context": f"{_ARTICLE} CANNOTANSWER",
            "question": "Who rebuilt it?",
            "title": "Mill",
            "section_title": "Fire",
            "background": "A mill.",
            "answers": [{"text": "CANNOTANSWER", "answer_start": 55}],
            "orig_answer": {"text": "CANNOTANSWER", "answer_start": 55},
            "yesno": "x",
            "followup": "n",
        },
        [
            (
                "quac question: Who rebuilt it? title: Mill section: Fire "
                f"context: {_ARTICLE} CANNOTANSWER",
                "CANNOTANSWER",
            )
        ],
    ),
    "wiki_table_questions": (
        "wiki_table_questions",
        {
            "input_text": {
                "context": "who won in 1990 and 1991?",
                "table": [
                    {"column_header": header, "row_number": row, "content": content}
                    for row, header, content in (
                        (0, "year", "1990"),
                        (0, "winner", "Berg"),
                        (1, "year", "1991"),
                        (1, "winner", "Holm"),
                    )
                ],
            },
            "target_text": "Berg|Holm",
        },
        [
            (
                "wiki_table_questions question: who won in 1990 and 1991? table: "
                "col : year | winner row 1 : 1990 | Berg row 2 : 1991 | Holm",
                "Berg|Holm",
            )
        ],
    ),
    "goemotions": (
        "goemotions",
        {
            "comment_text": "So  glad, thanks!",
            **{name: name in ("joy", "gratitude") for name in GO_EMOTIONS},
        },
        [("goemotions text: So glad, thanks!", "gratitude, joy")],
    ),
}


# row | published records | expected inputs, targets and, after them, the metrics' view
_QUESTION = {"input": "who painted it?", "output": [{"answer": "Holm"}]}
FILE_ROWS = {
    **{
        f"kilt_{name}": (
            [
                {
                    "id": "1",
                    "input": "who  painted it?",
                    "output": [
                        {"provenance": [{"title": "Holm"}]},
                        {"answer": "Holm"},
                        {"answer": "A. Holm"},
                        {"answer": "Holm", "provenance": []},
                    ],
                }
            ],
            [(f"{prompt}: who painted it?", "Holm")],
        )
        for name, prompt in (
            ("nq", "nq question"),
            ("hotpotqa", "hotpotqa question"),
            ("triviaqa", "trivia_qa question"),
            ("eli5", "eli5 question"),
            ("trex", "trex"),
            ("structured_zeroshot", "zeroshot_re"),
        )
    },
    "kilt_fever": (
        [
            {"input": "Oslo is a city.", "output": [{"answer": "SUPPORTS"}]},
            {"input": "Oslo is a river.", "output": [{"answer": "REFUTES"}]},
        ],
        [
            ("fever claim: Oslo is a city.", "SUPPORTS"),
            ("fever claim: Oslo is a river.", "REFUTES"),
        ],
    ),
    "kilt_aidayago2": (
        [
            {
                "input": "x" * 2000 + " [START_ENT] Oslo [END_ENT] won. " + "y" * 2000,
                "output": [{"answer": "Oslo FK"}],
            }
        ],
        [
            (
                f"aidayago2 text: {'x' * 699} [START_ENT] Oslo [END_ENT] won. "
                + "y" * 694,
                "Oslo FK",
            )
        ],
    ),
    **{
        f"tweet_eval_{name}": (
            [{"text": "so  good", "label": 0}, {"text": "so bad", "label": 1}],
            [
                (f"tweet_eval_{name} text: so good", labels[0]),
                (f"tweet_eval_{name} text: so bad", labels[1]),
            ],
        )
        for name, labels in (
            ("emoji", ("red heart", "smiling face with hearteyes")),
            ("emotion", ("anger", "joy")),
            ("hate", ("not hate", "hate")),
            ("irony", ("not irony", "irony")),
            ("offensive", ("not offensive", "offensive")),
            ("sentiment", ("negative", "neutral")),
        )
    },
    **{
        f"tweet_eval_stance_{part}": (
            [
                {"target": "Atheism", "text": "Yes!", "label": 2},
                {"target": "Atheism", "text": "No!", "label": "against"},
            ],
            [
                (f"tweet_eval_stance_{part} target: Atheism text: Yes!", "favor"),
                (f"tweet_eval_stance_{part} target: Atheism text: No!", "against"),
            ],
        )
        for part in "ab"
    },
    "rainbow_anli": (
        [
            {
                "observation_1": "Ann left early.",
                "observation_2": "She was late.",
                "hypothesis_1": "She ran.",
                "hypothesis_2": "The train stopped.",
                "label": 2,
            }
        ],
        [
            (
                "rainbow_anli beginning: Ann left early. end: She was late. "
                "choices: (A) She ran. (B) The train stopped.",
                "B",
            )
        ],
    ),
    "ukp_argument": (
        [
            {"topic": "school", "sentence": "It helps.", "annotation": "Argument_for"},
            {"topic": "school", "sentence": "It is.", "annotation": "NoArgument"},
        ],
        [
            ("ukp_argument topic: school sentence: It helps.", "for"),
            ("ukp_argument topic: school sentence: It is.", "none"),
        ],
    ),
    "tweetqa": (
        [
            {
                "Question": "what fell?",
                "Tweet": "The tree\nfell!",
                "Answer": ["the tree", "a tree"],
                "qid": "1",
            }
        ],
        [("tweetqa question: what fell? tweet: The tree fell!", "the tree")],
    ),
}

BAD_RECORDS = {
    "has an answer": ("kilt_nq", {"input": "who?", "output": [{"answer": ""}]}),
    "KILT's script": ("kilt_triviaqa", {**_QUESTION, "input": " "}),
    "no mention": ("kilt_aidayago2", _QUESTION),
    "none of anger": ("tweet_eval_emotion", {"text": "so", "label": 4}),
    "'target'": ("tweet_eval_stance_a", {"text": "so", "label": 1}),
    "none of NoArgument": (
        "ukp_argument",
        {"topic": "x", "sentence": "y", "annotation": "maybe"},
    ),
    "of 2 choices": (
        "rainbow_anli",
        {
            **dict.fromkeys("observation_1 observation_2".split(), "x"),
            **dict.fromkeys("hypothesis_1 hypothesis_2".split(), "y"),
            "label": 0,
        },
    ),
    "`Answer` is empty": ("tweetqa", {"Question": "x", "Tweet": "y", "Answer": [" "]}),
}
