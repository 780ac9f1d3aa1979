"""Scores a model in every language on held-out text, beside two unigram baselines.

    mtmoe evaluate --model_dir=runs/quickstart
    mtmoe evaluate --model_dir=runs/quickstart --checkpoint=all
    mtmoe evaluate --model_dir=runs/quickstart --text_dir=my_texts
    mtmoe evaluate --model_dir=runs/mine --split=test
    mtmoe evaluate --model_dir=runs/multitask --max_examples=20 --strategy=beam_search

Writes per_language.csv, experts.csv and evaluation.json (docs/outputs.md) to
evaluation/step_N of the model folder, or to --output_dir. A text folder holds one
LANG.txt a language, UTF-8, under any usual code: de.txt, he.txt, zho_Hans.txt.

A task that cannot be scored, since it has no such split or no text in it, is left out
with a line that says why; the others are scored. Of a large split rows spread over it
are read, up to --max_tokens of each task.

Supervised tasks are scored by their own metrics too (exact match, F1, chrF ...), for
which their targets are generated; --noown_metrics leaves that out.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mtmoe.cli.number_flags import define_number
from mtmoe.cli.runtime import prepare_runtime
from mtmoe.engine.processes.current import refuse_several_processes
from mtmoe.errors import MtmoeError
from mtmoe.ranges import Count

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of `mtmoe evaluate`."""
    flags.DEFINE_string("model_dir", None, "a trained model folder")
    flags.DEFINE_string("mixture", None, "task or mixture; that of training by default")
    flags.DEFINE_string(
        "checkpoint",
        "latest",
        "latest; best (lowest mean bits per byte evaluated so far); all; or a step",
    )
    flags.DEFINE_string("text_dir", None, "folder of LANG.txt files to score instead")
    flags.DEFINE_string("output_dir", None, "where to write instead")
    flags.DEFINE_string(
        "split", None, "split to evaluate; by default that of config.gin, validation"
    )
    define_number(
        "max_examples",
        None,
        "most examples of each supervised task; see config.gin",
        Count,
    )
    define_number(
        "max_tokens",
        None,
        "most tokens of each task that are read; see config.gin",
        Count,
    )
    flags.DEFINE_boolean(
        "own_metrics", None, "whether to compute supervised tasks' own metrics"
    )
    flags.DEFINE_string(
        "strategy", None, "how targets are generated: greedy, sampling or beam_search"
    )


def run(argv: list[str]) -> int:
    """Evaluates and prints where the results are.

    Raises:
      MtmoeError: the model folder, the text or a flag cannot be used.
    """
    if len(argv) > 1 or not FLAGS.model_dir:
        raise MtmoeError("usage: mtmoe evaluate --model_dir=DIR [--checkpoint=latest]")
    for other in ("mixture", "split"):
        if FLAGS[other].value and FLAGS.text_dir:
            raise MtmoeError(f"give --{other} or --text_dir, not both")
    refuse_several_processes("evaluate")
    prepare_runtime()
    from mtmoe.evaluate.run import EvaluationRequest, evaluate

    request = EvaluationRequest(
        model_dir=Path(FLAGS.model_dir),
        mixture=FLAGS.mixture,
        checkpoint=FLAGS.checkpoint,
        text_dir=Path(FLAGS.text_dir) if FLAGS.text_dir else None,
        output_dir=Path(FLAGS.output_dir) if FLAGS.output_dir else None,
        split=FLAGS.split,
        max_examples=FLAGS.max_examples,
        max_tokens=FLAGS.max_tokens,
        own_metrics=FLAGS.own_metrics,
        strategy=FLAGS.strategy,
    )
    for directory in evaluate(request):
        print(directory)
    return 0
