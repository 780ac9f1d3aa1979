from __future__ import annotations

from mtmoe.data.sources.embedded.documents import DOCUMENT_CHARACTERS, build_language
from mtmoe.data.sources.embedded.package import Passage
from mtmoe.data.sources.embedded.splits import split_of_key

PROSE = "Everyone is entitled to a social and international order of peace"


def _keys(split: str, count: int) -> list[str]:
    keys = (f"django/{n}" for n in range(10_000))
    return [key for key in keys if split_of_key(key) == split][:count]


def test_an_article_is_one_document_with_its_paragraphs_in_order() -> None:
    text = build_language(
        {"udhr": [Passage("udhr/article/3", "b one\na two", "udhr/article/3", True)]}
    )
    assert text.documents["train"] == ("b one\na two",)


def test_short_strings_fill_documents_after_the_split() -> None:
    held_out, kept = _keys("validation", 1)[0], _keys("train", 200)
    passages = [Passage(key, f"message {key}", "django") for key in (*kept, held_out)]
    text = build_language({"django": passages})
    assert text.documents["validation"] == (f"message {held_out}",)
    joined = "\n".join(text.documents["train"])
    assert joined.split("\n") == [f"message {key}" for key in kept]
    assert len(text.documents["train"]) > 3
    for document in text.documents["train"]:
        assert len(document) < DOCUMENT_CHARACTERS + 200
    assert text.characters == {"django": sum(len(p.text) for p in passages)}


def test_equal_lines_are_kept_once_and_never_on_both_sides() -> None:
    held_out, kept = _keys("validation", 1)[0], _keys("train", 3)
    text = build_language(
        {
            "django": [
                Passage(kept[0], "Save", "django"),
                Passage(kept[1], "Save", "django"),
                Passage(kept[2], "CANCEL  it", "django"),
                Passage(held_out, "Cancel it", "django"),
            ]
        }
    )
    assert text.documents == {"train": ("Save",), "validation": ("Cancel it",)}
    assert text.dropped == {"django": {"duplicate": 1, "held_out": 1}}


def test_training_loses_what_repeats_held_out_prose() -> None:
    text = build_language(
        {
            "udhr": [Passage("udhr/article/28", PROSE, "a", True)],
            "gflanguages": [Passage("gflanguages/0", f"({PROSE[:40]})", "g", True)],
        }
    )
    assert text.documents == {"train": (), "validation": (PROSE,)}
    assert text.dropped["gflanguages"] == {"leak": 1}
    assert text.prose_documents == 1


def test_a_repeat_across_a_line_break_drops_the_document() -> None:
    article = Passage("udhr/article/28", PROSE, "a", True)
    halves = f"{PROSE[:21]}\n{PROSE[21:42]}"
    training = Passage("udhr/article/3", halves, "b", True)
    text = build_language({"udhr": [article, training]})
    assert text.documents["train"] == ()
    assert text.dropped["udhr"] == {"leak": 2}
