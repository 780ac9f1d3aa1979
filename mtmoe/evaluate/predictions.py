"""Fills the `<extra_id_N>` blanks of a user's sentences.

Legend: B batch, L inputs length, T targets length.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import seqio
import tensorflow as tf
from numpy.typing import NDArray

from mtmoe.checkpoint import store
from mtmoe.data.task_rows import num_sentinels
from mtmoe.errors import CorpusError
from mtmoe.evaluate.checkpoints import chosen_steps
from mtmoe.evaluate.files import write_together
from mtmoe.evaluate.losses import assign_weights
from mtmoe.evaluate.progress import BatchProgress
from mtmoe.evaluate.trained_run import load_trained_run
from mtmoe.mesh.program import MeshProgram
from mtmoe.model.decoding import greedy_decode, prediction_step_builder

_BLANK = re.compile(r"<extra_id_(\d+)>")


@dataclasses.dataclass(frozen=True)
class FilledLine:
    """One sentence of the user's, and what the model put in its blanks.

    Attributes:
      line: number of the line in the input file, from 1.
      text: the sentence with its blanks filled; a blank the model left out stands as
        it was.
      spans: what was put in each blank, by its number in the sentence, in order; None
        where the model left it out.
    """

    line: int
    text: str
    spans: Mapping[str, str | None]


def predict(
    model_dir: Path, input_file: Path, output_file: Path, checkpoint: str = "latest"
) -> list[FilledLine]:
    """Fills the blanks of a file, one sentence a line; empty lines stay.

    Nothing is written unless every line can be filled.

    Raises:
      CorpusError: the file cannot be read, or a line has no blank, the same blank
        twice, or is too long for the model; the line is named.
      CheckpointError: the model folder or its checkpoint cannot be used.
    """
    trained = load_trained_run(model_dir)
    run, vocabulary = trained.settings, trained.vocabulary
    lines = read_lines(input_file)
    encoded = {
        number: encode_blanks(text, vocabulary, run.lengths["inputs"], where)
        for number, (text, where) in lines.items()
        if text
    }
    [step] = chosen_steps(model_dir, checkpoint, run.mixture)
    program = MeshProgram(run.layout, run.seed, run.jit_compile)
    batch_size = min(run.batch_size, len(encoded))
    function = program.function(
        prediction_step_builder(run.model),
        {
            "inputs": tf.TensorSpec([batch_size, run.lengths["inputs"]], tf.int32),
            "targets": tf.TensorSpec([batch_size, run.lengths["targets"]], tf.int32),
        },
        name="prediction_step",
    )
    loaded = store.load(model_dir / "checkpoints", step)
    assign_weights(program, loaded.values, f"checkpoint of step {step} in {model_dir}")
    decoded = _decode_all(
        lambda inputs, targets: np.asarray(
            function(0, inputs=inputs, targets=targets)["next_tokens"]
        ),
        np.stack(list(encoded.values())),
        batch_size,
        run.lengths["targets"],
        vocabulary.eos_id,
    )
    filled = [
        fill(number, lines[number][0], tokens_T, vocabulary)
        for number, tokens_T in zip(encoded, decoded, strict=True)
    ]
    by_line = {line.line: line.text for line in filled}
    content = "".join(by_line.get(number, "") + "\n" for number in lines)
    write_together(output_file.parent, {output_file.name: content})
    return filled


def read_lines(path: Path) -> dict[int, tuple[str, str]]:
    """Returns line number -> (text, "file:line"), white space at the ends removed.

    Raises:
      CorpusError: the file cannot be read, is not UTF-8, or has no text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from error
    lines = {}
    for number, raw in enumerate(content.splitlines(), start=1):
        where = f"{path}:{number}"
        try:
            lines[number] = (raw.decode("utf-8-sig").strip(), where)
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{where} is not UTF-8: byte {error.object[error.start]:#04x} at "
                f"offset {error.start} of the line"
            ) from error
    if not any(text for text, _ in lines.values()):
        raise CorpusError(f"{path} has no text")
    return lines


def encode_blanks(
    text: str, vocabulary: seqio.Vocabulary, length: int, where: str
) -> NDArray[np.int32]:
    """Returns the inputs of one sentence, int32 [L], 0 behind its end.

    Blanks become sentinels in the order they stand in, whatever their numbers, as in
    training. A space before a blank is left to what will fill it.

    Raises:
      CorpusError: no blank, the same blank twice, too many blanks or tokens.
    """
    numbers = _BLANK.findall(text)
    if not numbers:
        raise CorpusError(f"{where} has no blank; write it as <extra_id_0>")
    if len(set(numbers)) < len(numbers):
        raise CorpusError(f"{where} has the same blank twice; number them 0, 1, 2 ...")
    if len(numbers) > num_sentinels(vocabulary):
        raise CorpusError(
            f"{where} has {len(numbers)} blanks; the vocabulary has "
            f"{num_sentinels(vocabulary)} sentinels"
        )
    pieces = _BLANK.split(text)[::2]
    tokens: list[int] = []
    for i, piece in enumerate(pieces):
        if i < len(numbers):
            tokens += [*vocabulary.encode(piece.rstrip()), _sentinel(vocabulary, i)]
        else:
            tokens += vocabulary.encode(piece)
    tokens.append(vocabulary.eos_id)
    if len(tokens) > length:
        raise CorpusError(
            f"{where} has {len(tokens)} tokens; the model takes {length} at most"
        )
    return np.pad(np.array(tokens, np.int32), (0, length - len(tokens)))


def fill(
    line: int, text: str, tokens_T: NDArray[np.int32], vocabulary: seqio.Vocabulary
) -> FilledLine:
    """Puts decoded targets into a sentence.

    Args:
      line: the sentence's line.
      text: the sentence with its blanks.
      tokens_T: what the model gave: sentinel, span, sentinel, span, ..., EOS.
      vocabulary: that of the model.
    """
    numbers = _BLANK.findall(text)
    order = {_sentinel(vocabulary, i): number for i, number in enumerate(numbers)}
    spans: dict[str, list[int]] = {}
    current: list[int] = []
    for token in tokens_T.tolist():
        if token in (0, vocabulary.eos_id):
            break
        if token >= vocabulary.vocab_size - num_sentinels(vocabulary):
            # A sentinel of no blank ends a span; one seen before does not start anew.
            current = []
            if token in order:
                spans.setdefault(order[token], current)
        else:
            current.append(token)
    decoded = {
        number: vocabulary.decode(spans[number]).strip() if number in spans else None
        for number in numbers
    }

    def replace(match: re.Match[str]) -> str:
        span = decoded[match[1]]
        return match[0] if span is None else " ".join(span.split())

    return FilledLine(line, _BLANK.sub(replace, text), decoded)


def _sentinel(vocabulary: seqio.Vocabulary, i: int) -> int:
    return int(vocabulary.vocab_size) - 1 - i


def _decode_all(
    next_tokens: Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.int32]],
    inputs_EL: NDArray[np.int32],
    batch_size: int,
    max_length: int,
    eos_id: int,
) -> Sequence[NDArray[np.int32]]:
    starts = range(0, len(inputs_EL), batch_size)
    progress = BatchProgress("filling blanks", len(starts))
    decoded: list[NDArray[np.int32]] = []
    for i, start in enumerate(starts, start=1):
        inputs_BL = inputs_EL[start : start + batch_size]
        size = len(inputs_BL)
        inputs_BL = np.pad(inputs_BL, ((0, batch_size - size), (0, 0)))
        decoded.extend(greedy_decode(next_tokens, inputs_BL, max_length, eos_id)[:size])
        progress.done(i)
    return decoded
