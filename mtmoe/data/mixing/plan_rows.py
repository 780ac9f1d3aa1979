"""What a mixture will feed a model: the numbers of a plan, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BASES = {
    "measured": "counted on the data",
    "sampled": "the mean of a sample of the data",
    "estimated": "the sizes of the files and a sample of them",
    "filled": "rows cut to fill the inputs",
    "card": "published or stated counts of the data",
    "language": "embedded text of the language",
    "script": "embedded text of other languages of the script",
    "family": "what is typical of the family of tasks",
    "unknown": "not known",
}
"""What a number can rest on."""

ESTIMATES = frozenset({"estimated", "card", "language", "script", "family"})
"""Those of `BASES` that make a number an estimate."""

SIZES = {
    "measured": "counted",
    "estimated": "estimated",
    "card": "published",
    "unknown": "unknown",
}
"""How the size of a task is known, by what its epochs rest on."""


@dataclass(frozen=True)
class PlanRow:
    """What a task, or all tasks of a language, get of a token budget.

    Tokens are those of inputs and targets in a batch, padding left out.

    Attributes:
      name: the task, the language's code, or `total`.
      language: the task's language; "" if it names none.
      family: the task's family; "" for more than one task.
      paths: ways on which the mixture reaches it, such as `ext5/exmix`.
      num_tasks: tasks behind the row.
      share_of_examples: fraction of the mixture's examples.
      share_of_tokens: fraction of the mixture's tokens.
      examples: examples seen.
      tokens: tokens seen.
      tokens_per_example: mean tokens of an example in a batch.
      epoch_examples: examples of one pass over the data; None if unknown.
      epochs: passes over the data; None if unknown.
      bytes_per_token: UTF-8 bytes of text a token stands for; None if unknown.
      bases: what `tokens_per_example`, `epochs` and `bytes_per_token` rest on, of
        `BASES`.
    """

    name: str
    language: str
    family: str
    paths: tuple[str, ...]
    num_tasks: int
    share_of_examples: float
    share_of_tokens: float
    examples: float
    tokens: float
    tokens_per_example: float
    epoch_examples: float | None
    epochs: float | None
    bytes_per_token: float | None
    bases: Mapping[str, str]

    def is_estimate(self, number: str) -> bool:
        """Whether a number, a key of `bases`, is an estimate."""
        return self.bases[number] in ESTIMATES

    @property
    def size(self) -> str:
        """How it is known how much there is: one of `SIZES`; of a sum, at worst."""
        return SIZES[self.bases["epochs"]]


@dataclass(frozen=True)
class PlanStage:
    """What of a budget a stage gets.

    Attributes:
      start_step: its first step.
      mixture: the mixture of the stage.
      steps: steps it lasts within the budget; None if there is no batch size.
      tokens: its tokens; 0 if the budget ends before it.
    """

    start_step: int
    mixture: str
    steps: float | None
    tokens: float


@dataclass(frozen=True)
class MixturePlan:
    """What a mixture will feed a model for a token budget.

    Attributes:
      mixture: its name.
      policies: by mixture, how it weighs its members, in words.
      lengths: `inputs` and `targets` lengths of a batch.
      max_epochs: passes above which data counts as repeated too often.
      stages: its stages; one if it has none.
      tasks: a row for each task, most tokens first.
      languages: a row for each language, most tokens first.
      total: all of it.
      absent: by task whose text is not in the user's folder, why.
    """

    mixture: str
    policies: Mapping[str, str]
    lengths: Mapping[str, int]
    max_epochs: float
    stages: tuple[PlanStage, ...]
    tasks: tuple[PlanRow, ...]
    languages: tuple[PlanRow, ...]
    total: PlanRow
    absent: Mapping[str, str] = field(default_factory=dict)

    def is_repeated(self, row: PlanRow) -> bool:
        """Whether a row's data would be seen more than `max_epochs` times."""
        return row.epochs is not None and row.epochs > self.max_epochs

    @property
    def unknown_epochs(self) -> tuple[str, ...]:
        """Tasks of which nobody knows how much there is."""
        return tuple(row.name for row in self.tasks if row.epochs is None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before training, a line each.

        Tasks whose text is not there, in one line; then each task and language that is
        repeated too often, the worst first. A language with one task only is named with
        the task.
        """
        only_task = {row.name for row in self.languages if row.num_tasks == 1}
        lines = [
            (row.epochs or 0.0, f"language {row.name}")
            for row in self.languages
            if row.num_tasks > 1 and self.is_repeated(row)
        ] + [
            (
                row.epochs or 0.0,
                f"language {row.language} (task {row.name})"
                if row.language in only_task
                else f"task {row.name}",
            )
            for row in self.tasks
            if self.is_repeated(row)
        ]
        lines.sort(key=lambda line: (-line[0], line[1]))
        repeated = tuple(
            f"{what}: {epochs:.1f} epochs, more than {self.max_epochs:g}"
            for epochs, what in lines
        )
        return (self._absent_line, *repeated) if self.absent else repeated

    @property
    def _absent_line(self) -> str:
        names = list(self.absent)
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return (
            f"{len(names):,} of {len(self.tasks):,} tasks have no text here, and "
            f"training on {self.mixture} stops at them: {', '.join(names[:5])}{more}; "
            f"{self.absent[names[0]]}; the mixture 'web' is of the languages that are "
            "there"
        )
