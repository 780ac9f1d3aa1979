r"""Answers your lines: fills blanks, answers a task's inputs, goes on with a text.

    echo 'Alle Menschen sind <extra_id_0> und gleich <extra_id_1>.' > prompts.txt
    mtmoe predict --model_dir=runs/quickstart --input_file=prompts.txt \
        --output_file=answers.txt
    mtmoe predict --model_dir=runs/multitask --input_file=prompts.txt \
        --output_file=answers.txt --task=embedded.lemma.de
    mtmoe predict --model_dir=runs/quickstart --input_file=prompts.txt \
        --output_file=answers.txt --strategy=sampling --top_p=0.9 --seed=7
    mtmoe predict --model_dir=runs/quickstart --input_file=prompts.txt \
        --output_file=answers.txt --strategy=beam_search --num_beams=4

What a line is to the model follows from what it was trained on: a text with blanks
(numbered 0, 1, 2 ... in the order of the text) is filled in, one without is a
supervised task's inputs, or a text to go on with. A model that knows blanks alone gets
one at the end of a line that has none. --task=NAME says whose inputs the lines are. The
output has a line for each; one that cannot be answered is empty, is named, and makes
the exit status 2.

Strategies: greedy (the likeliest token), sampling (--temperature, --top_k, --top_p,
--seed) and beam_search (--num_beams, --length_penalty). What no flag gives is as the
model's config.gin has it (Sampling.top_p = 0.9), else as docs/decoding.md says.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from mtmoe.cli.number_flags import define_number
from mtmoe.cli.runtime import prepare_runtime
from mtmoe.engine.processes.current import refuse_several_processes
from mtmoe.errors import MtmoeError
from mtmoe.ranges import Count, Natural, NonNegative, Positive, Seed, Share

FLAGS = flags.FLAGS

_FIELDS = ("temperature", "top_k", "top_p", "num_beams", "length_penalty")


def define_flags() -> None:
    """Defines the flags of `mtmoe predict`."""
    flags.DEFINE_string("model_dir", None, "a trained model folder")
    flags.DEFINE_string("input_file", None, "prompts, one a line")
    flags.DEFINE_string("output_file", None, "where to write the answers")
    flags.DEFINE_string("task", None, "the task whose inputs the lines are")
    flags.DEFINE_string("checkpoint", "latest", "latest, best, or a step")
    flags.DEFINE_string("strategy", "greedy", "greedy, sampling or beam_search")
    define_number("temperature", None, "of sampling: below 1 sharpens", Positive)
    define_number("top_k", None, "of sampling: among so many; 0 for all", Natural)
    define_number("top_p", None, "of sampling: among those of this probability", Share)
    define_number("num_beams", None, "of beam search: sequences at a time", Count)
    define_number(
        "length_penalty", None, "of beam search: more favours length", NonNegative
    )
    define_number("seed", 0, "of sampling: another seed, other text", Seed)


def run(argv: list[str]) -> int:
    """Answers the lines; returns the exit status, 2 if one could not be answered.

    Raises:
      MtmoeError: a flag or the file cannot be used.
      CheckpointError: the model folder cannot be used.
    """
    given = FLAGS.model_dir and FLAGS.input_file and FLAGS.output_file
    if len(argv) > 1 or not given:
        raise MtmoeError(
            "usage: mtmoe predict --model_dir=DIR --input_file=F --output_file=F"
        )
    if FLAGS.checkpoint == "all":
        raise MtmoeError(
            "--checkpoint=all is for evaluate; give latest, best or a step"
        )
    refuse_several_processes("predict")
    prepare_runtime()
    from mtmoe.evaluate.predictions import PredictionRequest, predict

    values = {field: FLAGS[field].value for field in _FIELDS}
    request = PredictionRequest(
        model_dir=Path(FLAGS.model_dir),
        input_file=Path(FLAGS.input_file),
        output_file=Path(FLAGS.output_file),
        checkpoint=FLAGS.checkpoint,
        strategy=FLAGS.strategy,
        strategy_fields={k: v for k, v in values.items() if v is not None},
        seed=FLAGS.seed,
        task=FLAGS.task,
    )
    lines = predict(request)
    for line in lines:
        if line.problem:
            print(line.problem, file=sys.stderr)
            continue
        print(f"{line.line}: {line.text}")
        for number, span in line.spans.items():
            shown = "(left out by the model)" if span is None else repr(span)
            print(f"    <extra_id_{number}> {shown}")
    print(FLAGS.output_file)
    return 2 if any(line.problem for line in lines) else 0
