"""Answers a user's lines: fills blanks, answers a task's inputs, goes on with a text.

Legend: L inputs length, T targets length.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import seqio

from mtmoe.checkpoint import store
from mtmoe.data.evaluation.infill import (
    BLANK,
    decode_behind_text,
    fill_blanks,
    predicted_spans,
)
from mtmoe.data.evaluation.prompts import ANSWER, BLANKS, Prompt, PromptEncoder
from mtmoe.data.rows.cached import task_vocabulary
from mtmoe.data.tasks.registry import get_task, tasks_of
from mtmoe.data.vocabulary.configured import vocabulary_fingerprint
from mtmoe.errors import ConfigError, CorpusError, MtmoeError
from mtmoe.evaluate.checkpoints import chosen_steps
from mtmoe.evaluate.generation import Generator, stacked
from mtmoe.evaluate.trained_run import TrainedRun, load_trained_run
from mtmoe.files import write_together
from mtmoe.model.decoder_only import DecoderOnly
from mtmoe.model.decoding.strategies import named_strategy
from mtmoe.train.settings import TrainingRun


@dataclasses.dataclass(frozen=True)
class AnsweredLine:
    """One line of the user's, and what the model wrote.

    Attributes:
      line: number of the line in the input file, from 1.
      text: the line with its blanks filled (one that the model left out stands as it
        was), the answer to a task's inputs, or the line and what comes behind it; empty
        if there is a problem.
      spans: what the model gave for each blank, by its number, in the order of the
        text; None where it gave nothing. Empty for other lines.
      problem: why the line is not answered, with file and line; "" if it is.
    """

    line: int
    text: str
    spans: Mapping[int, str | None] = dataclasses.field(default_factory=dict)
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class PredictionRequest:
    """What to answer, and how.

    Attributes:
      model_dir: a model folder.
      input_file: one prompt a line.
      output_file: where to write the answers, one a line.
      checkpoint: `latest`, `best`, or a step.
      strategy: name of a strategy, see `mtmoe.model.decoding.strategies`.
      strategy_fields: those of its fields that are not to be gin's.
      seed: seed of a random strategy; a line draws the same whatever stands around it.
      task: the task whose inputs the lines are; by default what the model was trained
        on decides, see `PromptEncoder`.
    """

    model_dir: Path
    input_file: Path
    output_file: Path
    checkpoint: str = "latest"
    strategy: str = "greedy"
    strategy_fields: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seed: int = 0
    task: str | None = None


def predict(request: PredictionRequest) -> list[AnsweredLine]:
    """Answers the lines of a file; the output has a line for each, empty ones too.

    A line that cannot be answered is empty there, and its `problem` says why.

    Raises:
      ConfigError: a field of the strategy is out of range, or the tasks of the model
        do not say what a line is to it.
      UnknownNameError: there is no such strategy, or it has no such field; or no such
        task.
      CorpusError: the file cannot be read, or has no text.
      CheckpointError: the model folder or its checkpoint cannot be used.
    """
    trained = load_trained_run(request.model_dir)
    run, vocabulary = trained.settings, trained.vocabulary
    strategy = named_strategy(request.strategy, **request.strategy_fields)
    encode = PromptEncoder(_tasks(request.task, trained), run.lengths)
    lines = read_lines(request.input_file)
    prompts: dict[int, Prompt] = {}
    answered: dict[int, AnsweredLine] = {}
    for number, text in lines.items():
        try:
            if isinstance(text, CorpusError):
                raise text
            if text:
                prompts[number] = encode(text)
        except MtmoeError as error:
            problem = f"{request.input_file}:{number}: {error}"
            answered[number] = AnsweredLine(number, "", problem=problem)
    [step] = chosen_steps(request.model_dir, request.checkpoint, run.mixture)
    values = store.load(request.model_dir / "checkpoints", step).values
    for is_prefix in (True, False):
        chosen = {n: p for n, p in prompts.items() if p.form.is_prefix == is_prefix}
        if not chosen:
            continue
        generator = Generator(
            _as_trained(run, is_prefix),
            strategy,
            vocabulary.eos_id,
            batch_size=_batch_size(run, len(chosen)),
            seed=request.seed,
        )
        generator.load(values, f"step {step} of {request.model_dir}")
        inputs = stacked([prompt.tokens for prompt in chosen.values()])
        decoded = generator(inputs, list(chosen), "answering")
        for (number, prompt), tokens_T in zip(chosen.items(), decoded, strict=True):
            answered[number] = _answer(number, prompt, tokens_T.tolist(), vocabulary)
    by_line = {line.line: line.text for line in answered.values()}
    content = "".join(by_line.get(number, "") + "\n" for number in lines)
    output_file = request.output_file
    write_together(output_file.parent, {output_file.name: content})
    return [answered[number] for number in sorted(answered)]


def read_lines(path: Path) -> dict[int, str | CorpusError]:
    """Returns text by line number, white space at its ends removed.

    In the place of a line that is not UTF-8 stands the error that says so.

    Raises:
      CorpusError: the file cannot be read, or has no text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from error
    lines: dict[int, str | CorpusError] = {}
    for number, raw in enumerate(content.splitlines(), start=1):
        try:
            lines[number] = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            lines[number] = CorpusError(
                f"not UTF-8: byte {error.object[error.start]:#04x} at offset "
                f"{error.start} of the line"
            )
    if not any(lines.values()):
        raise CorpusError(f"{path} has no text")
    return lines


def _tasks(name: str | None, trained: TrainedRun) -> Sequence[seqio.Task]:
    """Returns the tasks that say what a line is.

    Raises:
      UnknownNameError: there is no task of that name.
      ConfigError: its vocabulary is not the model's.
    """
    if name is None:
        return tasks_of(trained.settings.mixture)
    task = get_task(name)
    vocabulary = task_vocabulary(task, trained.settings.lengths)
    if vocabulary_fingerprint(vocabulary) != vocabulary_fingerprint(trained.vocabulary):
        raise ConfigError(
            f"--task={name}: its vocabulary is not that of the model's tasks"
        )
    return [task]


def _as_trained(run: TrainingRun, is_prefix: bool) -> TrainingRun:
    """A decoder alone sees a prompt whole only if it was a prefix in training."""
    if is_prefix or not isinstance(run.model, DecoderOnly):
        return run
    model = dataclasses.replace(run.model, bidirectional_prefix=False)
    return dataclasses.replace(run, model=model)


def _answer(
    number: int, prompt: Prompt, tokens: list[int], vocabulary: seqio.Vocabulary
) -> AnsweredLine:
    """Reads what was written behind a prompt, up to its end, as one line."""
    if prompt.form.kind == BLANKS:
        filled = _filled_line(number, prompt.text, predicted_spans(tokens, vocabulary))
        if prompt.text == prompt.line or filled.spans[0] is not None:
            return filled
        return dataclasses.replace(filled, text=prompt.line)  # a blank of ours
    ends = (vocabulary.eos_id, vocabulary.pad_id)
    end = next((i for i, t in enumerate(tokens) if t in ends), len(tokens))
    if prompt.form.kind == ANSWER:
        return AnsweredLine(number, _one_line(vocabulary.decode(tokens[:end])))
    behind = decode_behind_text(tokens[:end], vocabulary)
    return AnsweredLine(number, _one_line(prompt.text + behind))


def _filled_line(line: int, text: str, spans: dict[int, str]) -> AnsweredLine:
    numbers = [int(blank[1]) for blank in BLANK.finditer(text)]
    one_line = {number: _one_line(span) for number, span in spans.items()}
    shown = {number: one_line.get(number) for number in numbers}
    return AnsweredLine(line, fill_blanks(text, one_line), shown)


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text)


def _batch_size(run: TrainingRun, num_examples: int) -> int:
    """No more rows than there are examples, and as many on each part of the mesh."""
    parts = run.layout.splits("batch")
    return min(run.batch_size, -(-num_examples // parts) * parts)
