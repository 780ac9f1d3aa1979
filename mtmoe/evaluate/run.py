"""Evaluates checkpoints of a model folder, read top to bottom.

Legend: V vocab.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import gin

from mtmoe.checkpoint import store
from mtmoe.checkpoint.manifest import versions
from mtmoe.data.text_bytes import token_kinds
from mtmoe.evaluate.bootstrap import Bootstrap
from mtmoe.evaluate.checkpoints import chosen_steps
from mtmoe.evaluate.examples import (
    Sampling,
    folder_examples,
    mixture_examples,
    training_baselines,
)
from mtmoe.evaluate.files import write_together
from mtmoe.evaluate.losses import Scorer
from mtmoe.evaluate.own_metrics import OwnMetrics, has_own_metrics
from mtmoe.evaluate.records import (
    EVALUATION_FILE,
    EXPERTS_FILE,
    PER_LANGUAGE_FILE,
    expert_csv,
    metric_csv,
)
from mtmoe.evaluate.tabulate import (
    expert_rows,
    metric_rows,
    summary_facts,
    task_scores,
)
from mtmoe.evaluate.trained_run import load_trained_run
from mtmoe.model.decoding.strategies import Greedy, Strategy, named_strategy


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
      own_metrics: whether supervised tasks are also scored by their own metrics, for
        which their targets are generated.
      strategy: how they are generated.
    """

    split: str = "validation"
    num_noise_samples: int = 4
    seed: int = 0
    num_resamples: int = 1000
    max_examples: int | None = None
    own_metrics: bool = True
    strategy: Strategy = Greedy()


@dataclasses.dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate.

    Attributes:
      model_dir: a model folder.
      mixture: task or mixture; that of training if None.
      checkpoint: `latest`, `best`, `all`, or a step.
      text_dir: folder of `LANG.txt` files to score instead of a mixture.
      output_dir: where to write; with `all`, one folder a step below it.
      max_examples: instead of that of the settings; None leaves it to them.
      own_metrics: likewise.
      strategy: name of a strategy, likewise.
    """

    model_dir: Path
    mixture: str | None = None
    checkpoint: str = "latest"
    text_dir: Path | None = None
    output_dir: Path | None = None
    max_examples: int | None = None
    own_metrics: bool | None = None
    strategy: str | None = None

    def settings(self) -> EvaluationSettings:
        """Returns the settings that gin gives, with what is asked for here.

        Raises:
          ConfigError: a number is out of range.
          UnknownNameError: there is no such strategy.
        """
        asked: dict[str, Any] = {}
        if self.max_examples is not None:
            asked["max_examples"] = self.max_examples
        if self.own_metrics is not None:
            asked["own_metrics"] = self.own_metrics
        if self.strategy is not None:
            asked["strategy"] = named_strategy(self.strategy)
        return EvaluationSettings(**asked)


def evaluate(request: EvaluationRequest) -> list[Path]:
    """Evaluates checkpoints and returns the folders written, one a checkpoint.

    Raises:
      CheckpointError: the model folder or a checkpoint cannot be used.
      CorpusError: the text cannot be used.
      ConfigError: the folder's config cannot be used as it stands.
      UnknownNameError: no such mixture, split or checkpoint.
    """
    trained = load_trained_run(request.model_dir)
    run = trained.settings
    settings = request.settings()
    mixture = request.mixture or run.mixture
    steps = chosen_steps(request.model_dir, request.checkpoint, run.mixture)
    sampling = Sampling(
        run.lengths, settings.num_noise_samples, settings.seed, settings.max_examples
    )
    if request.text_dir:
        tasks = folder_examples(request.text_dir, run.mixture, sampling)
    else:
        tasks = mixture_examples(mixture, settings.split, sampling)
    kinds = token_kinds(trained.vocabulary)
    baselines = training_baselines(run.mixture, run.steps, run.lengths, kinds.is_text)
    bootstrap = Bootstrap(settings.num_resamples, seed=settings.seed)
    facts = {
        "mixture": mixture,
        "split": None if request.text_dir else settings.split,
        "text_dir": request.text_dir.name if request.text_dir else None,
        "num_noise_samples": settings.num_noise_samples,
        "max_examples": settings.max_examples,
        "seed": settings.seed,
        "bootstrap": dataclasses.asdict(bootstrap),
        "batch_size": run.batch_size,
        "lengths": dict(run.lengths),
        "versions": versions(),
    }
    own = None
    facts["decoding"] = None
    if settings.own_metrics and any(map(has_own_metrics, tasks)):
        own = OwnMetrics(run, settings.strategy, tasks, settings.split, bootstrap)
        facts["decoding"] = {
            "strategy": type(settings.strategy).__name__,
            **dataclasses.asdict(settings.strategy),
        }
    scorer = Scorer(run)
    written = []
    for step in steps:
        checkpoint = store.load(request.model_dir / "checkpoints", step)
        scorer.load(checkpoint.values, f"step {step} of {request.model_dir}")
        outputs = scorer(tasks, f"evaluating step {step}")
        scores = task_scores(tasks, outputs, baselines, kinds, bootstrap)
        own_metrics = {}
        if own is not None:
            own.load(checkpoint.values, f"step {step} of {request.model_dir}")
            own_metrics = own(f"evaluating step {step}")
        layers = run.model.switch_layer_names()
        content = {"step": step, "checkpoint": f"checkpoints/step_{step}"} | facts
        content |= summary_facts(tasks, outputs, scores, bootstrap.confidence)
        for line in content["warnings"]:
            print(f"warning: {line}", file=sys.stderr)
        directory = output_directory(request, step, run.mixture)
        write_together(
            directory,
            {
                PER_LANGUAGE_FILE: metric_csv(metric_rows(tasks, scores, own_metrics)),
                EXPERTS_FILE: expert_csv(expert_rows(tasks, outputs, layers)),
                EVALUATION_FILE: json.dumps(content, indent=2) + "\n",
            },
        )
        written.append(directory)
    return written


def output_directory(
    request: EvaluationRequest, step: int, trained_mixture: str
) -> Path:
    """Returns the folder an evaluation is written to.

    `evaluation/step_N` holds the training mixture's; other mixtures and text folders
    lie below it, so that they never take its place in a report.
    """
    if request.output_dir:
        several = request.checkpoint == "all"
        return request.output_dir / f"step_{step}" if several else request.output_dir
    directory = request.model_dir / "evaluation" / f"step_{step}"
    if request.text_dir:
        return directory / "text_dir" / request.text_dir.resolve().name
    if request.mixture and request.mixture != trained_mixture:
        return directory / "mixture" / request.mixture
    return directory
