"""Examples of exactly the features of any TFDS builder, with nothing downloaded.

    with mocked_tfds(num_examples=4):
        ...                       # every builder gives made-up examples
    with mocked_tfds(records={"cosmos_qa": [{...}, {...}]}):
        ...                       # this one gives the hand-written ones

Every example goes through the builder's own features (encoded, serialised, read back),
so a missing field, a label out of range or a wrong type is an error. Made-up values are
plausible: texts are never empty, sequences have at least two elements, labels run
through all classes. Where fields depend on each other (an answer lies in its passage),
a function marked `@depends("builder")` sets them right.
"""

from __future__ import annotations

import contextlib
import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from mtmoe.data.sources.joined import JoinedSource

Example = dict[str, Any]

_WORDS = (
    "river winter teacher garden music bridge doctor letter market silver island "
    "engine window mountain paper captain village morning kitchen history forest "
    "planet ticket shadow harbour lesson writer copper valley station painter summer "
    "opened carried followed wrote found painted built crossed visited remembered "
    "old quiet bright early northern heavy small famous wooden narrow near under after "
    "before with behind along during"
).split()

# What a text is, by the words its field's name has in it; the first that fits.
_SHAPES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("question_id", "query_id", "_id", "uid", "idx"), "name"),
    (("question", "query", "goal"), "question"),
    (("context_tokens", "tokens", "word", "pronoun", "concept"), "word"),
    (("answer", "choice", "option", "sol", "label", "title", "value", "alias"), "name"),
    (("content", "column_header", "name", "span", "entit", "slot"), "name"),
    (("context", "passage", "article", "paragraph", "story", "review"), "passage"),
    (("document", "body", "report", "transcript", "background"), "passage"),
)

_DEPENDS: dict[str, Callable[[Example, int, random.Random], None]] = {}


@contextlib.contextmanager
def mocked_tfds(
    num_examples: int = 4, records: Mapping[str, Sequence[Example]] | None = None
) -> Iterator[None]:
    """Lets all TFDS builders give examples of their features.

    Args:
      num_examples: how many made-up examples a split has.
      records: hand-written examples instead, by `builder` or `builder/config`.
    """
    kept: dict[Any, tf.data.Dataset] = {}

    def as_dataset(self: Any, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        config = (
            f"{self.name}/{self.builder_config.name}" if self.builder_config else ""
        )
        chosen = (records or {}).get(config) or (records or {}).get(self.name)
        # What is made up is the same in all configurations of the same features.
        like = self.name, config if chosen else "", repr(self.info.features)
        if like not in kept:
            examples = chosen or made_up_examples(self, num_examples)
            kept[like] = dataset_of(self.info.features, examples)
        return kept[like]

    with tfds.testing.mock_data(
        policy=tfds.testing.MockPolicy.USE_CODE, as_dataset_fn=as_dataset
    ):
        yield


def dataset_of(
    features: tfds.features.FeaturesDict, examples: Sequence[Example]
) -> tf.data.Dataset:
    """Returns examples as TFDS would read them from its files.

    What is made of the data set is not optimised: that takes longer than it saves.
    """
    serialised = [features.serialize_example(example) for example in examples]
    dataset = tf.data.Dataset.from_tensor_slices(serialised)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.map(features.deserialize_example).with_options(options)


def builders_of(
    source: seqio.DataSource,
) -> Iterator[tuple[tfds.core.DatasetBuilder, set[str]]]:
    """Yields the builders that a source reads, and the names of the splits it asks for.

    Raises:
      tfds.core.DatasetNotFoundError, ValueError: there is no such builder, or none of
        this configuration, or not in this version.
    """
    if isinstance(source, JoinedSource):
        for part in source.parts:
            yield from builders_of(part.source)
        return
    loader = source.tfds_dataset
    yield tfds.builder(loader.name), {loader._map_split(name) for name in source.splits}


def published_splits(builder: tfds.core.DatasetBuilder) -> set[str]:
    """Returns the names of a builder's splits, as its own code lists them.

    Raises:
      OSError, tf.errors.NotFoundError: it opens a downloaded file to list them.
    """
    made = builder._split_generators(_NoDownloads())
    return {str(split if isinstance(split, str) else split.name) for split in made}


class _NoDownloads:
    """A download manager that finds everything in a folder that is not there."""

    def download_and_extract(self, wanted: Any) -> Any:
        return tf.nest.map_structure(lambda _: epath.Path("/not/there"), wanted)

    download = extract = download_and_extract

    def iter_archive(self, path: Any) -> Iterator[Any]:
        return iter(())


def made_up_examples(builder: tfds.core.DatasetBuilder, number: int) -> list[Example]:
    """Returns examples of a builder, the same at every call."""
    rng = random.Random(zlib.crc32(builder.name.encode()))
    examples = []
    for i in range(number):
        example = _value(builder.info.features, "", i, rng)
        depends = _DEPENDS.get(builder.name)
        if depends:
            depends(example, i, rng)
        examples.append(example)
    return examples


def depends(
    *builders: str,
) -> Callable[[Callable[[Example, int, random.Random], None]], Any]:
    """Marks what sets dependent fields right, given example, number and chance."""

    def mark(function: Callable[[Example, int, random.Random], None]) -> Any:
        for builder in builders:
            _DEPENDS[builder] = function
        return function

    return mark


def made_up_text(shape: str, rng: random.Random) -> str:
    """Returns a `word`, `name`, `question`, `sentence` or `passage`."""
    if shape == "word":
        return rng.choice(_WORDS)
    if shape == "name":
        return " ".join(rng.sample(_WORDS, rng.randint(1, 3)))
    if shape == "passage":
        return " ".join(made_up_text("sentence", rng) for _ in range(5))
    words = " ".join(rng.sample(_WORDS, rng.randint(5, 9)))
    if shape == "question":
        return f"Who {words}?"
    return f"{words.capitalize()}."


def _value(feature: Any, key: str, number: int, rng: random.Random) -> Any:
    if isinstance(feature, tfds.features.FeaturesDict):
        return {name: _value(part, name, number, rng) for name, part in feature.items()}
    if isinstance(feature, tfds.features.Sequence):
        length = rng.randint(2, 4)
        return [_value(feature.feature, key, number + i, rng) for i in range(length)]
    if isinstance(feature, tfds.features.ClassLabel):
        return number % feature.num_classes
    if feature.tf_dtype == tf.string:
        return made_up_text(_shape(key), rng)
    if feature.tf_dtype == tf.bool:
        # Half of the fields start with True, so that no example has none or all.
        return bool((number + zlib.crc32(key.encode())) % 2)
    if feature.tf_dtype.is_floating:
        return number % 5 / 4
    return np.asarray(number % 100, feature.np_dtype).item()


def _shape(key: str) -> str:
    for parts, shape in _SHAPES:
        if any(part in key.lower() for part in parts):
            return shape
    return "sentence"


def _words_of(passage: str, rng: random.Random) -> tuple[int, str]:
    """Returns start and text of two words of a passage."""
    words = passage.split(" ")
    first = rng.randrange(len(words) - 1)
    start = len(" ".join(words[:first])) + (first > 0)
    return start, " ".join(words[first : first + 2])


@depends("squad")
def _squad(example: Example, number: int, rng: random.Random) -> None:
    spans = [_words_of(example["context"], rng) for _ in range(2)]
    answers = [{"text": text, "answer_start": start} for start, text in spans]
    example["answers"] = answers
    if "is_impossible" in example:
        example["is_impossible"] = bool(number % 2)
        example["plausible_answers"] = answers if number % 2 else []
        example["answers"] = [] if number % 2 else answers


@depends("quac")
def _quac(example: Example, number: int, rng: random.Random) -> None:
    start, text = _words_of(example["context"], rng)
    if number % 3 == 2:
        start, text = len(example["context"]), "CANNOTANSWER"
    example["context"] += " CANNOTANSWER"
    example["orig_answer"] = {"text": text, "answer_start": start}
    example["answers"] = [example["orig_answer"]]
    example["yesno"] = "xyn"[number % 3]
    example["followup"] = "ymn"[number % 3]


@depends("coqa")
def _coqa(example: Example, number: int, rng: random.Random) -> None:
    example["answers"] = []
    for _ in example["questions"]:
        start, text = _words_of(example["story"], rng)
        example["answers"].append(
            {"input_text": text, "answer_start": start, "answer_end": start + len(text)}
        )


@depends("mrqa")
def _mrqa(example: Example, number: int, rng: random.Random) -> None:
    _, text = _words_of(example["context"], rng)
    example["answers"] = [text]
    example["detected_answers"] = example["detected_answers"][:1]
    example["detected_answers"][0]["text"] = text


@depends("drop")
def _drop(example: Example, number: int, rng: random.Random) -> None:
    answers = ("3", "October 12 2001", _words_of(example["passage"], rng)[1])
    example["answer"] = answers[number % 3]
    example["validated_answers"] = [example["answer"]] * 2


@depends("race")
def _race(example: Example, number: int, rng: random.Random) -> None:
    count = len(example["questions"])
    example["options"] = [
        [f"{made_up_text('name', rng)} {letter}" for letter in "abcd"]
        for _ in range(count)
    ]
    example["answers"] = [rng.choice("ABCD") for _ in range(count)]


@depends("hellaswag")
def _hellaswag(example: Example, number: int, rng: random.Random) -> None:
    example["endings"] = [made_up_text("sentence", rng) for _ in range(4)]
    example["label"] = number % 4


@depends("ai2_arc", "qasc")
def _letters(example: Example, number: int, rng: random.Random) -> None:
    letters = "ABCDEFGH" if "combinedfact" in example else "ABCD"
    example["choices"] = [
        {"label": letter, "text": f"{made_up_text('name', rng)} {letter.lower()}"}
        for letter in letters
    ]
    example["answerKey"] = letters[number % len(letters)]


@depends("cos_e")
def _cos_e(example: Example, number: int, rng: random.Random) -> None:
    example["choices"] = [f"{made_up_text('name', rng)} {letter}" for letter in "abc"]
    example["answer"] = example["choices"][number % 3]


@depends("winogrande")
def _winogrande(example: Example, number: int, rng: random.Random) -> None:
    example["sentence"] = example["sentence"].replace(" ", " _ ", 1)


@depends("sentiment140")
def _sentiment140(example: Example, number: int, rng: random.Random) -> None:
    example["polarity"] = (0, 4, 2)[number % 3]


@depends("super_glue")
def _super_glue(example: Example, number: int, rng: random.Random) -> None:
    if "span2_index" in example:
        example["text"] = "The captain thanked the doctor because he had helped ."
        example |= {"span1_text": "doctor", "span1_index": 4}
        example |= {"span2_text": "he", "span2_index": 6, "label": number % 2}
    if "entities" in example:
        example["query"] = example["query"].replace(" ", " @placeholder ", 1)
        example["answers"] = example["entities"][:2]


@depends("unified_qa")
def _unified_qa(example: Example, number: int, rng: random.Random) -> None:
    choices = [f"{made_up_text('name', rng)} {letter}" for letter in "abc"]
    options = " ".join(
        f"({letter}) {c}" for letter, c in zip("ABC", choices, strict=True)
    )
    question = made_up_text("question", rng)
    example["input"] = f"{question} \\n {options} \\n {made_up_text('passage', rng)}"
    example["output"] = choices[number % 3]


@depends("definite_pronoun_resolution")
def _definite_pronoun(example: Example, number: int, rng: random.Random) -> None:
    example["sentence"] = "The captain thanked the doctor because he had helped."
    example |= {"pronoun": "he", "candidates": ["the captain", "the doctor"]}


@depends("gap")
def _gap(example: Example, number: int, rng: random.Random) -> None:
    text = "Anna met Clara in the harbour before she left."
    example |= {"Text": text, "Pronoun": "she", "A": "Anna", "B": "Clara"}
    for field in ("Pronoun", "A", "B"):
        example[f"{field}-offset"] = text.index(example[field])
    example |= {"A-coref": number % 3 == 0, "B-coref": number % 3 == 1}


@depends("conll2003")
def _conll2003(example: Example, number: int, rng: random.Random) -> None:
    example["tokens"] = ["Anna", "Berg", "visited", "Oslo", "."]
    example["ner"] = ["B-PER", "I-PER", "O", "B-LOC", "O"]
    example["pos"] = ["NNP", "NNP", "VBD", "NNP", "."]
    example["chunks"] = ["B-NP", "I-NP", "B-VP", "B-NP", "O"]


@depends("math_qa")
def _math_qa(example: Example, number: int, rng: random.Random) -> None:
    example["options"] = "a ) 38 , b ) 27.675 , c ) 30 , d ) data inadequate , e ) none"
    example["correct"] = "abcde"[number % 5]
