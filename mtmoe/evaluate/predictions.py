"""Fills the `<extra_id_N>` blanks of a user's sentences.

Legend: B batch, L inputs length, T targets length.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mtmoe.checkpoint import store
from mtmoe.data.infill import BLANK, fill_blanks, infill_examples, predicted_spans
from mtmoe.errors import CorpusError
from mtmoe.evaluate.checkpoints import chosen_steps
from mtmoe.evaluate.files import write_together
from mtmoe.evaluate.losses import assign_weights
from mtmoe.evaluate.progress import BatchProgress
from mtmoe.evaluate.trained_run import load_trained_run
from mtmoe.mesh.program import MeshProgram
from mtmoe.model.decoding import NextTokens, greedy_decode, prediction_step_builder
from mtmoe.train.settings import TrainingRun


@dataclasses.dataclass(frozen=True)
class FilledLine:
    """One sentence of the user's, and what the model put in its blanks.

    Attributes:
      line: number of the line in the input file, from 1.
      text: the sentence with its blanks filled; a blank the model left out stands as
        it was.
      spans: what the model gave for each blank, by its number, in the order of the
        text; None where it gave nothing.
    """

    line: int
    text: str
    spans: Mapping[int, str | None]


def predict(
    model_dir: Path, input_file: Path, output_file: Path, checkpoint: str = "latest"
) -> list[FilledLine]:
    """Fills the blanks of a file, one sentence a line; empty lines stay.

    Nothing is written unless every line can be filled.

    Raises:
      CorpusError: the file cannot be read.
      MtmoeError: a line has no blank, the same blank twice, or is too long for the
        model; the line is named.
      CheckpointError: the model folder or its checkpoint cannot be used.
    """
    trained = load_trained_run(model_dir)
    run, vocabulary = trained.settings, trained.vocabulary
    lines = read_lines(input_file)
    encoded = {
        number: infill_examples(
            [text],
            vocabulary,
            run.lengths["inputs"],
            f"{input_file}:{number}, sentence",
        ).inputs[0]
        for number, text in lines.items()
        if text
    }
    [step] = chosen_steps(model_dir, checkpoint, run.mixture)
    values = store.load(model_dir / "checkpoints", step).values
    batch_size = min(run.batch_size, len(encoded))
    decoded = _decode_all(
        _next_tokens(run, batch_size, values, f"step {step} of {model_dir}"),
        np.stack(list(encoded.values())),
        batch_size,
        run.lengths["targets"],
        vocabulary.eos_id,
    )
    filled = [
        _filled_line(
            number, lines[number], predicted_spans(tokens_T.tolist(), vocabulary)
        )
        for number, tokens_T in zip(encoded, decoded, strict=True)
    ]
    by_line = {line.line: line.text for line in filled}
    content = "".join(by_line.get(number, "") + "\n" for number in lines)
    write_together(output_file.parent, {output_file.name: content})
    return filled


def read_lines(path: Path) -> dict[int, str]:
    """Returns text by line number, white space at its ends removed.

    Raises:
      CorpusError: the file cannot be read, is not UTF-8, or has no text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from error
    lines = {}
    for number, raw in enumerate(content.splitlines(), start=1):
        try:
            lines[number] = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{path}:{number} is not UTF-8: byte "
                f"{error.object[error.start]:#04x} at offset {error.start} of the line"
            ) from error
    if not any(lines.values()):
        raise CorpusError(f"{path} has no text")
    return lines


def _filled_line(line: int, text: str, spans: dict[int, str]) -> FilledLine:
    numbers = [int(blank[1]) for blank in BLANK.finditer(text)]
    one_line = {number: re.sub(r"[\r\n]+", " ", span) for number, span in spans.items()}
    shown = {number: one_line.get(number) for number in numbers}
    return FilledLine(line, fill_blanks(text, one_line), shown)


def _next_tokens(
    run: TrainingRun,
    batch_size: int,
    values: Mapping[str, NDArray[np.generic]],
    where: str,
) -> NextTokens:
    """Returns the compiled function behind greedy decoding, weights loaded."""
    program = MeshProgram(run.layout, run.seed, run.jit_compile)
    function = program.function(
        prediction_step_builder(run.model),
        {
            name: tf.TensorSpec([batch_size, length], tf.int32)
            for name, length in run.lengths.items()
        },
        name="prediction_step",
    )
    assign_weights(program, values, where)

    def next_tokens(
        inputs_BL: NDArray[np.int32], targets_BT: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        outputs = function(0, inputs=inputs_BL, targets=targets_BT)
        return np.asarray(outputs["next_tokens"])

    return next_tokens


def _decode_all(
    next_tokens: NextTokens,
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
