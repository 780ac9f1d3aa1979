"""What `mtmoe check` checks, and `mtmoe train` before it touches any data.

Everything a run is made of is built, up to the shapes of its first step. Files of text
are not opened, and nothing is allocated.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gin
import seqio

from mtmoe.checkpoint import store
from mtmoe.config.build import Builder
from mtmoe.config.effect import (
    Idle,
    files_without_effect,
    idle_bindings,
    sorted_by_owner,
)
from mtmoe.config.in_force import Called, InForce, Key, iterate
from mtmoe.config.load import Config, Draft, read_config
from mtmoe.config.registry import find
from mtmoe.config.statements import Reference
from mtmoe.config.total_steps import disagreements
from mtmoe.data.mixing.mixtures import PolicyRate
from mtmoe.data.mixing.stages import stages_of
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.rows.cached import check_lengths, check_objective
from mtmoe.data.tasks.form import check_split, task_form
from mtmoe.data.tasks.registry import (
    get_mixture_or_task,
    register,
    task_modules_imported,
    tasks_of,
)
from mtmoe.errors import ConfigError
from mtmoe.evaluate.gaps import evaluation_gaps
from mtmoe.mesh.features import named_features
from mtmoe.model.shapes import unlowered_graph
from mtmoe.train.layout_check import layout_problems
from mtmoe.train.settings import TrainingRun
from mtmoe.train.step import step_features
from mtmoe.train.vocabulary_check import KnownVocabulary, known_vocabulary

_WEB_TEXT = "mtmoe.data.sources.web."
_CALLED_BY_RUNS = ("mtmoe.mesh.", "mtmoe.model.", "mtmoe.train.")
# Read by code whenever a run opens its data, whatever the mixture is.
_DATA = ("bad_records", "configured_vocabulary", "register", "token_cache")


@dataclasses.dataclass(frozen=True)
class CheckedRun:
    """A run that can begin, as far as can be told without its data.

    Attributes:
      config: what decides it, without the bindings that have no effect.
      run: the run.
      switched_off: the bindings without effect that were left out.
      notices: what its user should know, a sentence each.
    """

    config: Config
    run: TrainingRun
    switched_off: tuple[Key, ...]
    notices: tuple[str, ...]


def check_run(gin_files: Sequence[str], gin_params: Sequence[str] = ()) -> CheckedRun:
    """Puts a config in force and checks all that can be checked without data.

    Args:
      gin_files: as `load_config` takes them.
      gin_params: likewise.

    Raises:
      ConfigError: there are mistakes; the message lists all of them, each with file and
        line.
    """
    return check_draft(read_config(gin_files, gin_params, roots=["train"]))


def check_draft(draft: Draft) -> CheckedRun:
    """Does what `check_run` does with a config that was read."""
    return _Check(draft).result()


class _Check:
    """The steps of a check; each goes on after mistakes in those before."""

    def __init__(self, draft: Draft):
        self._draft = draft
        self._problems = draft.problems
        self._config = draft.bind()
        self._force = InForce(self._config.statements)
        self._builder = Builder(self._force, self._problems)
        self._tasks: tuple[seqio.Task, ...] = ()

    def result(self) -> CheckedRun:
        if not self._draft.is_whole:
            self._raise()
        self._agreements()
        run = self._builder.build("train")
        self._register()
        notices: list[str] = []
        if run is not None:
            self._data(run)
            self._start(run)
            self._shapes(run)
            notices = run.notices() + self._evaluation(run)
        idle = self._idle(everything=run is not None)
        errors, listed = sorted_by_owner(idle)
        for message in errors:
            self._problems.add(message)
        self._raise()
        switched_off = tuple(one.key for one in idle)
        config = self._config.without(switched_off)
        notices += listed + files_without_effect(self._force, idle)
        return CheckedRun(config, run, switched_off, tuple(notices))

    def _raise(self) -> None:
        if self._problems.messages:
            raise ConfigError("\n".join(self._problems.messages))

    def _agreements(self) -> None:
        if {b.parameter for b in self._problems.faulty} & {"steps", "total_steps"}:
            return
        for message in disagreements(self._config.statements):
            self._problems.add(message)

    def _register(self) -> None:
        """Registers the run's tasks and looks its mixture up."""
        modules, mixture = Key("", "register", "task_modules"), self._mixture()
        keys = (f"{modules.selector}.{modules.parameter}",)
        known = len(self._problems.messages)
        self._builder.attempt("the tasks cannot be registered", register, *keys)
        if mixture is None or len(self._problems.messages) > known:
            return
        tasks = self._builder.attempt(
            f"mixture {mixture!r} cannot be used",
            functools.partial(tasks_of, mixture),
            "train.mixture",
        )
        self._tasks = tasks or ()
        for provider in self._mixtures(mixture) if tasks else ():
            for rate in provider.rate_per_task_name.values():
                if isinstance(rate, PolicyRate):
                    policy = functools.partial(getattr, rate, "policy")
                    what = f"the rates of {provider.name!r} cannot be made"
                    self._builder.attempt(what, policy)
                    break  # one policy for all of its tasks

    def _mixture(self) -> str | None:
        key = Key("", "train", "mixture")
        if key not in self._force.bindings:
            return None
        value = self._force.resolve(self._force.bindings[key].value)
        return value if isinstance(value, str) else None

    def _mixtures(self, name: str) -> Iterator[seqio.Mixture]:
        """Yields a mixture and those inside it, stages among them."""
        for stage in stages_of(name):
            waiting: list[Any] = [get_mixture_or_task(stage.mixture)]
            while waiting:
                provider = waiting.pop()
                if isinstance(provider, seqio.Mixture):
                    yield provider
                    waiting += provider._task_map.values()

    def _data(self, run: TrainingRun) -> None:
        """Checks splits, features and lengths of every task, and the vocabulary."""
        attempt = self._builder.attempt
        vocabulary = attempt(
            "the vocabulary cannot be used",
            functools.partial(known_vocabulary, self._force),
            "configured_vocabulary.factory",
        )
        if vocabulary is not None and vocabulary.size is not None:
            self._model_rows(run, vocabulary.size)
        lengths = attempt(
            "", functools.partial(check_lengths, run.lengths), "train.lengths"
        )
        objectives: dict[TokenObjective, None] = {}
        for task in self._tasks:
            if not isinstance(task.source, seqio.TfdsDataSource):  # it would read them
                split = functools.partial(check_split, task, "train")
                attempt("", split, "train.mixture")
            form = task_form(task)
            if lengths and self._has_features(task, lengths) and form.objective:
                objectives[form.objective] = None
        for objective in objectives:
            fits = functools.partial(_check_objective, objective, lengths, vocabulary)
            attempt("", fits, "train.lengths")

    def _has_features(self, task: seqio.Task, lengths: Mapping[str, int]) -> bool:
        absent = [name for name in lengths if name not in task.output_features]
        if absent:
            self._problems.add(
                f"task {task.name!r} has no feature {absent[0]!r}; it has "
                + ", ".join(map(repr, task.output_features))
                + self._builder.places("train.mixture", "train.lengths")
            )
        return not absent

    def _model_rows(self, run: TrainingRun, size: int) -> None:
        if run.model.logits.vocab_size < size:
            name = f"{type(run.model).__name__}.vocab_size"
            where = self._builder.places(name)
            self._problems.add(run.too_few_rows(size) + where)

    def _start(self, run: TrainingRun) -> None:
        folder = run.initial_checkpoint
        if folder is not None and not store.steps(Path(folder) / "checkpoints"):
            self._problems.add(
                f"train.initial_checkpoint: {folder} has no checkpoints; it must be a "
                "model folder, or a folder that mtmoe import wrote"
                + self._builder.places("train.initial_checkpoint")
            )

    def _shapes(self, run: TrainingRun) -> None:
        """Builds the graph of a step; checks the layout by its dimensions."""
        build_step = run.step_builder(num_languages=1)
        features = named_features(step_features(run.lengths, run.batch_size))
        graph = self._builder.attempt(
            "the first step cannot be built",
            lambda: unlowered_graph(
                lambda context: build_step(context, features),
                True,
                run.layout,
                run.precision,
            ),
            *("Layout.layout_rules", "Layout.mesh_shape", "train.model"),
        )
        if graph is None:
            return
        for message, field in layout_problems(run.layout, graph):
            where = self._builder.places(f"Layout.{field}")
            self._problems.add(message + where)

    def _evaluation(self, run: TrainingRun) -> list[str]:
        """Returns what the run's evaluation will leave out."""
        settings = self._builder.build("evaluate")
        if settings is None or not self._tasks:
            return []
        return evaluation_gaps(run.mixture, settings.split)

    def _idle(self, everything: bool) -> list[Idle]:
        called = [Called((), name) for name in ("train", "Layout", *_DATA)]
        called += [Called((), name) for name in self._read_by_tasks()]
        idle = idle_bindings(self._force, called, self._trusted())
        if everything and self._tasks:
            return idle
        # What could not be built might have called more: say what is certain.
        lost = any(
            isinstance(item, Reference)
            for binding in self._problems.faulty
            for item in iterate(binding.value)
        )
        return [
            one
            for one in idle
            if _module(one.key.selector).startswith(_CALLED_BY_RUNS)
            and (one.key.scope or not lost)
        ]

    def _read_by_tasks(self) -> Iterator[str]:
        """Yields the configurables that sources, objectives and metrics may call."""
        functions: dict[Any, None] = {}
        modules: set[str] = set()
        for task in self._tasks:
            functions |= dict.fromkeys(task.metric_fns)
            functions[type(task_form(task).objective)] = None
            parts = getattr(task.source, "parts", ())
            for source in (task.source, *(part.source for part in parts)):
                modules |= {base.__module__ for base in type(source).__mro__}
        for function in functions:
            known = gin.config._inverse_lookup(function)
            if known is not None:
                yield find(known.selector).selector
        if any(name.startswith(_WEB_TEXT) for name in modules):
            modules |= {_WEB_TEXT + "folder", _WEB_TEXT + "problems"}
        for selector, _ in gin.config._REGISTRY.items():
            if _module(selector) in modules:
                yield find(selector).selector

    def _trusted(self) -> set[str]:
        """Configurables of the packages that the tasks are from, but for our own."""
        packages = {name.partition(".")[0] for name in task_modules_imported()}
        packages -= {"mtmoe"}
        return {
            find(selector).selector
            for selector, _ in gin.config._REGISTRY.items()
            if _module(selector).partition(".")[0] in packages
        }


def _check_objective(
    objective: TokenObjective,
    lengths: Mapping[str, int],
    vocabulary: KnownVocabulary | None,
) -> None:
    """Checks that rows of these lengths can be made, and numbered by sentinels."""
    raw_length = check_objective(objective, lengths)
    needed = objective.num_sentinels(raw_length)
    if vocabulary is None or vocabulary.num_sentinels is None:
        return
    if needed > vocabulary.num_sentinels:
        raise ConfigError(
            f"rows of {raw_length} raw tokens need {needed} sentinels with "
            f"{objective}; the vocabulary has {vocabulary.num_sentinels}"
        )


def _module(selector: str) -> str:
    return str(getattr(find(selector).function, "__module__", ""))
