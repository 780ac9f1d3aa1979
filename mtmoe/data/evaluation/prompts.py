"""A user's line as the inputs that a trained model knows from its training.

What stands in training's inputs follows from the tasks: text with blanks and an end
mark behind it (span corruption), the same without an end mark for a decoder alone, a
text to go on with, or a supervised task's inputs. A prompt is encoded alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import seqio

from mtmoe.data.evaluation.infill import BLANK, blank_tokens
from mtmoe.data.evaluation.text_bytes import token_kinds
from mtmoe.data.ground.token_rows import Int32Array
from mtmoe.data.rows.cached import Lengths, task_recipe, task_vocabulary
from mtmoe.data.rows.recipes import TextRecipe
from mtmoe.data.tasks.form import TEXT, task_form
from mtmoe.errors import ConfigError, MtmoeError

BLANKS, ANSWER, CONTINUATION = "blanks", "answer", "continuation"
_ENDS = (
    seqio.preprocessors.append_eos,
    seqio.preprocessors.append_eos_after_trim,
)


@dataclass(frozen=True)
class PromptForm:
    """How inputs stood in training, and what the model writes behind them.

    Attributes:
      kind: `BLANKS` (inputs have blanks, it writes what stood there), `ANSWER` (a
        supervised task's inputs, it writes targets) or `CONTINUATION` (it goes on).
      eos: token behind the inputs; None: there is none.
      is_prefix: whether a decoder alone had the prompt as a prefix, whose tokens may
        see each other; if not, each saw those before it.
    """

    kind: str
    eos: int | None
    is_prefix: bool = True


class Prompt(NamedTuple):
    """A line made ready.

    Attributes:
      form: how.
      line: what the user typed.
      text: the same, with a blank at its end if it needed one.
      tokens: int32, the model's inputs.
    """

    form: PromptForm
    line: str
    text: str
    tokens: Int32Array


class PromptEncoder:
    """Encodes lines for a model that was trained on some tasks."""

    def __init__(self, tasks: Sequence[seqio.Task], lengths: Lengths):
        """Looks at what the tasks' inputs are.

        Args:
          tasks: those of the trained mixture, or the one that lines are meant for.
          lengths: the run's: `inputs` and `targets`, or `targets` alone.

        Raises:
          ConfigError: no line can be an input of these tasks, or of two of them it
            would be in different ways.
        """
        self._vocabulary = task_vocabulary(tasks[0], lengths)
        self._most = lengths.get("inputs", lengths["targets"] - 1)
        forms = {task.name: prompt_form(task, lengths) for task in tasks}
        named = {form: name for name, form in reversed(forms.items()) if form}
        self._blanks = next((form for form in named if form.kind == BLANKS), None)
        plain = [form for form in named if form.kind != BLANKS]
        if len(plain) > 1:
            raise ConfigError(
                "a line would be another input of task "
                + " than of task ".join(repr(named[form]) for form in plain)
                + "; say which is meant with --task=NAME"
            )
        if not named:
            raise ConfigError(
                f"{tasks[0].name!r} and the other tasks of this model have empty "
                "inputs: its encoder never read a text, so it takes no prompt"
            )
        self._plain = plain[0] if plain else None

    def __call__(self, line: str) -> Prompt:
        """Encodes a line.

        With blanks in it, it is filled in if the model was trained on blanks. Another
        is a supervised task's inputs, or a text to go on with; if the model knows
        nothing but blanks, one is put at the end.

        Raises:
          MtmoeError: the line is too long, has blanks that cannot be, or no character
            that the vocabulary knows.
        """
        form, text = self._form(line)
        if form.kind == BLANKS:
            tokens = blank_tokens(text, self._vocabulary)
        else:
            tokens = list(self._vocabulary.encode(text))
        self._check_known(tokens)
        if form.eos is not None:
            tokens.append(form.eos)
        if len(tokens) > self._most:
            raise MtmoeError(
                f"the line has {len(tokens)} tokens; the model takes at most "
                f"{self._most}"
            )
        return Prompt(form, line, text, np.array(tokens, np.int32))

    def _form(self, line: str) -> tuple[PromptForm, str]:
        if self._blanks is not None and (BLANK.search(line) or self._plain is None):
            return self._blanks, line if BLANK.search(line) else line + " <extra_id_0>"
        assert self._plain is not None
        return self._plain, line

    def _check_known(self, tokens: list[int]) -> None:
        kinds = token_kinds(self._vocabulary)
        is_known = kinds.is_text & ~kinds.is_space
        if kinds.unk_id is None or kinds.unk_id not in tokens:
            return
        is_known[kinds.unk_id] = False
        if not is_known[tokens].any():
            raise MtmoeError("the vocabulary knows no character of the line")


def prompt_form(task: seqio.Task, lengths: Lengths) -> PromptForm | None:
    """Returns how a task's inputs stand in training; None if they are always empty."""
    form, recipe = task_form(task), task_recipe(task, lengths)
    alone = "inputs" not in lengths
    if form.kind == TEXT:
        assert isinstance(recipe, TextRecipe)
        if recipe.objective.num_sentinels(recipe.raw_length):
            return PromptForm(BLANKS, recipe.eos[0])
        key = np.zeros(1, np.uint64)
        has_inputs = recipe.sizes(np.array([recipe.raw_length]), key)[0, 0] > (
            recipe.eos[0] is not None
        )
        if not (has_inputs or alone):
            return None
        return PromptForm(CONTINUATION, recipe.eos[0], is_prefix=bool(has_inputs))
    if recipe is not None:
        return PromptForm(ANSWER, recipe.eos[0])
    feature = task.output_features.get("inputs")
    if feature is None:  # a stream for a decoder alone
        return PromptForm(CONTINUATION, None, is_prefix=False)
    is_ended = feature.add_eos and any(step in _ENDS for step in task.preprocessors)
    return PromptForm(ANSWER, feature.vocabulary.eos_id if is_ended else None)
