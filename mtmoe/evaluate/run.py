"""Evaluates checkpoints of a model folder, read top to bottom.

Legend: V vocab.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gin

from mtmoe.checkpoint import store
from mtmoe.checkpoint.manifest import versions
from mtmoe.data.evaluation.text_bytes import token_kinds
from mtmoe.data.tasks.registry import get_task
from mtmoe.evaluate.baselines import TrainingBaselines, training_baselines
from mtmoe.evaluate.bootstrap import Bootstrap
from mtmoe.evaluate.checkpoints import chosen_steps
from mtmoe.evaluate.examples import (
    Sampling,
    ToScore,
    folder_examples,
    mixture_examples,
    text_objective,
)
from mtmoe.evaluate.gaps import LeftOut, own_metrics_gap, say_left_out
from mtmoe.evaluate.losses import Scorer
from mtmoe.evaluate.own_metrics import OwnMetrics, has_own_metrics
from mtmoe.evaluate.records import (
    EVALUATION_FILE,
    EXPERTS_FILE,
    PER_LANGUAGE_FILE,
    expert_csv,
    metric_csv,
)
from mtmoe.evaluate.step import routing_facts
from mtmoe.evaluate.tabulate import (
    expert_rows,
    metric_rows,
    summary_facts,
    task_scores,
)
from mtmoe.evaluate.trained_run import TrainedRun, load_trained_run
from mtmoe.files import write_together
from mtmoe.model.decoding.strategies import Greedy, Strategy, named_strategy
from mtmoe.model.parts import expert_layer_names, takes_inputs
from mtmoe.ranges import Count, Seed, check_fields


@gin.configurable("evaluate")
@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """What decides an evaluation's numbers; gin name `evaluate`.

    Attributes:
      split: split of the tasks that is evaluated.
      num_noise_samples: maskings of each chunk of text.
      seed: keys the masks and the bootstrap.
      num_resamples: bootstrap resamples.
      max_examples: most examples of each supervised task; all if None.
      max_tokens: most tokens of each task's split that are read: rows spread over it,
        chosen by the seed, or its first ones where it is not cached; all if None.
      max_baseline_tokens: most tokens of each task's training text that the unigram
        baselines are counted from; all if None.
      own_metrics: whether supervised tasks are also scored by their own metrics, for
        which their targets are generated.
      strategy: how they are generated.
    """

    split: str = "validation"
    num_noise_samples: Count = 4
    seed: Seed = 0
    num_resamples: Count = 1000
    max_examples: Count | None = None
    max_tokens: Count | None = 2**18
    max_baseline_tokens: Count | None = 2**24
    own_metrics: bool = True
    strategy: Strategy = Greedy()

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self, "evaluate")


@dataclasses.dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate.

    Attributes:
      model_dir: a model folder.
      mixture: task or mixture; that of training if None.
      checkpoint: `latest`, `best`, `all`, or a step.
      text_dir: folder of `LANG.txt` files to score instead of a mixture.
      output_dir: where to write; with `all`, one folder a step below it.
      split: instead of that of the settings; None leaves it to them.
      max_examples: likewise.
      max_tokens: likewise.
      own_metrics: likewise.
      strategy: name of a strategy, likewise.
    """

    model_dir: Path
    mixture: str | None = None
    checkpoint: str = "latest"
    text_dir: Path | None = None
    output_dir: Path | None = None
    split: str | None = None
    max_examples: int | None = None
    max_tokens: int | None = None
    own_metrics: bool | None = None
    strategy: str | None = None

    def below(self, folder: Path) -> EvaluationRequest:
        """Returns the request with all paths absolute, relative ones below a folder."""
        return dataclasses.replace(
            self,
            model_dir=folder / self.model_dir,
            text_dir=folder / self.text_dir if self.text_dir else None,
            output_dir=folder / self.output_dir if self.output_dir else None,
        )

    def settings(self) -> EvaluationSettings:
        """Returns the settings that gin gives, with what is asked for here.

        Raises:
          ConfigError: a number is out of range.
          UnknownNameError: there is no such strategy.
        """
        names = ("split", "max_examples", "max_tokens", "own_metrics")
        asked: dict[str, Any] = {
            name: getattr(self, name)
            for name in names
            if getattr(self, name) is not None
        }
        if self.strategy is not None:
            asked["strategy"] = named_strategy(self.strategy)
        return EvaluationSettings(**asked)


def evaluate(request: EvaluationRequest) -> list[Path]:
    """Evaluates checkpoints and returns the folders written, one a checkpoint.

    Raises:
      CheckpointError: the model folder or a checkpoint cannot be used.
      CorpusError: the text cannot be used, or nothing of it can be scored.
      ConfigError: the folder's config cannot be used as it stands.
      UnknownNameError: no such mixture or checkpoint.
    """
    here = Path.cwd()
    trained = load_trained_run(request.model_dir)
    written = []
    with trained.in_its_folder():
        for directory, files in _evaluations(request.below(here), trained):
            write_together(directory, files)
            written.append(directory)
    if (request.output_dir or request.model_dir).is_absolute():
        return written
    return [_as_given(directory, here) for directory in written]


def _evaluations(
    request: EvaluationRequest, trained: TrainedRun
) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yields the folder of each checkpoint's evaluation, and its files."""
    run, settings = trained.settings, request.settings()
    steps = chosen_steps(request.model_dir, request.checkpoint, run.mixture)
    to_score = _to_score(request, trained, settings)
    tasks, left_out = to_score.tasks, list(to_score.left_out)
    if settings.own_metrics and not request.text_dir:
        gaps = (own_metrics_gap(get_task(task.task)) for task in tasks)
        left_out += [gap for gap in gaps if gap is not None]
    say_left_out(left_out)
    kinds = token_kinds(trained.vocabulary)
    baselines = training_baselines(
        run.mixture, run.steps, run.lengths, kinds.is_text, settings.max_baseline_tokens
    )
    bootstrap = Bootstrap(settings.num_resamples, seed=settings.seed)
    facts = _facts(request, trained, settings, baselines, left_out)
    own = None
    if settings.own_metrics and any(map(has_own_metrics, tasks)):
        own = OwnMetrics(run, settings.strategy, tasks, settings.split, bootstrap)
        facts["decoding"] = {
            "strategy": type(settings.strategy).__name__,
            **dataclasses.asdict(settings.strategy),
        }
    scorer = Scorer(run)
    default_split = EvaluationSettings().split
    for step in steps:
        checkpoint = store.load(request.model_dir / "checkpoints", step)
        scorer.load(checkpoint.values, f"step {step} of {request.model_dir}")
        outputs = scorer(tasks, f"evaluating step {step}")
        scores = task_scores(tasks, outputs, baselines.models, kinds, bootstrap)
        own_metrics = {}
        if own is not None:
            own.load(checkpoint.values, f"step {step} of {request.model_dir}")
            own_metrics = own(f"evaluating step {step}")
        layers = expert_layer_names(run.model)
        content: dict[str, Any] = {
            "step": step,
            "checkpoint": f"checkpoints/step_{step}",
        } | facts
        content |= summary_facts(tasks, outputs, scores, bootstrap.confidence)
        for line in content["warnings"]:
            print(f"warning: {line}", file=sys.stderr)
        yield (
            output_directory(request, step, run.mixture, default_split),
            {
                PER_LANGUAGE_FILE: metric_csv(metric_rows(tasks, scores, own_metrics)),
                EXPERTS_FILE: expert_csv(expert_rows(tasks, outputs, layers)),
                EVALUATION_FILE: json.dumps(content, indent=2) + "\n",
            },
        )


def _to_score(
    request: EvaluationRequest, trained: TrainedRun, settings: EvaluationSettings
) -> ToScore:
    run = trained.settings
    sampling = Sampling(
        run.lengths,
        settings.num_noise_samples,
        settings.seed,
        settings.max_examples,
        settings.max_tokens,
    )
    if not request.text_dir:
        mixture = request.mixture or run.mixture
        return mixture_examples(mixture, settings.split, sampling)
    objective, was_trained = text_objective(run.mixture, takes_inputs(run.model))
    if not was_trained:
        print(
            f"no task of {run.mixture} is of plain text: the text is scored with "
            f"{objective}, which the model has not been trained on",
            file=sys.stderr,
        )
    return folder_examples(request.text_dir, objective, trained.vocabulary, sampling)


def _facts(
    request: EvaluationRequest,
    trained: TrainedRun,
    settings: EvaluationSettings,
    baselines: TrainingBaselines,
    left_out: Sequence[LeftOut],
) -> dict[str, Any]:
    """Returns what evaluation.json says that no checkpoint changes."""
    run = trained.settings
    objective, was_trained = text_objective(run.mixture, takes_inputs(run.model))
    return {
        "mixture": request.mixture or run.mixture,
        "split": None if request.text_dir else settings.split,
        "text_dir": request.text_dir.name if request.text_dir else None,
        "num_noise_samples": settings.num_noise_samples,
        "max_examples": settings.max_examples,
        "seed": settings.seed,
        "bootstrap": {
            "num_resamples": settings.num_resamples,
            "confidence": Bootstrap().confidence,
            "seed": settings.seed,
        },
        "batch_size": run.batch_size,
        "lengths": dict(run.lengths),
        "versions": versions(),
        "decoding": None,
        "max_tokens": settings.max_tokens,
        "left_out": [dataclasses.asdict(task) for task in left_out],
        "untrained_objective": (
            repr(objective) if request.text_dir and not was_trained else None
        ),
        "baseline_tokens": {
            task: {"counted": counted, "of": of}
            for task, (counted, of) in baselines.tokens.items()
        },
        "routing": routing_facts(run),
    }


def output_directory(
    request: EvaluationRequest,
    step: int,
    trained_mixture: str,
    default_split: str = "validation",
) -> Path:
    """Returns the folder an evaluation of a step is written to.

    `evaluation/step_N` holds the training mixture's; other mixtures, text folders and
    splits, if not the default of the model folder's config, lie below it, so that they
    never take its place in a report.
    """
    if request.output_dir:
        several = request.checkpoint == "all"
        return request.output_dir / f"step_{step}" if several else request.output_dir
    directory = request.model_dir / "evaluation" / f"step_{step}"
    if request.text_dir:
        return directory / "text_dir" / request.text_dir.resolve().name
    if request.mixture and request.mixture != trained_mixture:
        directory = directory / "mixture" / request.mixture
    if request.split and request.split != default_split:
        directory = directory / "split" / request.split
    return directory


def _as_given(directory: Path, here: Path) -> Path:
    """Returns a path as one would type it in a folder."""
    return directory.relative_to(here) if directory.is_relative_to(here) else directory
