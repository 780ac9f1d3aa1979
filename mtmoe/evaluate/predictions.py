"""Fills the `<extra_id_N>` blanks of a user's sentences.

Legend: T targets length.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mtmoe.checkpoint import store
from mtmoe.data.infill import BLANK, fill_blanks, infill_examples, predicted_spans
from mtmoe.errors import CorpusError
from mtmoe.evaluate.checkpoints import chosen_steps
from mtmoe.evaluate.files import write_together
from mtmoe.evaluate.generation import Generator
from mtmoe.evaluate.trained_run import load_trained_run
from mtmoe.model.decoding.strategies import named_strategy
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


@dataclasses.dataclass(frozen=True)
class PredictionRequest:
    """What to fill in, and how.

    Attributes:
      model_dir: a model folder.
      input_file: one sentence a line.
      output_file: where to write them filled.
      checkpoint: `latest`, `best`, or a step.
      strategy: name of a strategy, see `mtmoe.model.decoding.strategies`.
      strategy_fields: those of its fields that are not to be gin's.
      seed: seed of a random strategy; a line draws the same whatever stands around it.
    """

    model_dir: Path
    input_file: Path
    output_file: Path
    checkpoint: str = "latest"
    strategy: str = "greedy"
    strategy_fields: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seed: int = 0


def predict(request: PredictionRequest) -> list[FilledLine]:
    """Fills the blanks of a file, one sentence a line; empty lines stay.

    Nothing is written unless every line can be filled.

    Raises:
      ConfigError: a field of the strategy is out of range.
      UnknownNameError: there is no such strategy, or it has no such field.
      CorpusError: the file cannot be read.
      MtmoeError: a line has no blank, the same blank twice, or is too long for the
        model; the line is named.
      CheckpointError: the model folder or its checkpoint cannot be used.
    """
    trained = load_trained_run(request.model_dir)
    run, vocabulary = trained.settings, trained.vocabulary
    strategy = named_strategy(request.strategy, **request.strategy_fields)
    lines = read_lines(request.input_file)
    inputs_length = run.lengths.get("inputs", run.lengths["targets"])
    encoded = {
        number: infill_examples(
            [text],
            vocabulary,
            inputs_length,
            f"{request.input_file}:{number}, sentence",
        ).inputs[0]
        for number, text in lines.items()
        if text
    }
    [step] = chosen_steps(request.model_dir, request.checkpoint, run.mixture)
    values = store.load(request.model_dir / "checkpoints", step).values
    generator = Generator(
        run,
        strategy,
        vocabulary.eos_id,
        batch_size=_batch_size(run, len(encoded)),
        seed=request.seed,
    )
    generator.load(values, f"step {step} of {request.model_dir}")
    decoded = generator(
        np.stack(list(encoded.values())), list(encoded), "filling blanks"
    )
    filled = [
        _filled_line(
            number, lines[number], predicted_spans(tokens_T.tolist(), vocabulary)
        )
        for number, tokens_T in zip(encoded, decoded, strict=True)
    ]
    by_line = {line.line: line.text for line in filled}
    content = "".join(by_line.get(number, "") + "\n" for number in lines)
    output_file = request.output_file
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


def _batch_size(run: TrainingRun, num_examples: int) -> int:
    """No more rows than there are examples, and as many on each part of the mesh."""
    parts = run.layout.splits("batch")
    return min(run.batch_size, -(-num_examples // parts) * parts)
