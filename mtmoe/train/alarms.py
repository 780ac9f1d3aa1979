"""Says while a run trains that it does not: a still loss, a collapsed router, rate 0.

What is said depends on the lines of the log alone, so that a run that was interrupted
says the same as one that was not: it reads again the lines that are there.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

PATIENCE_STEPS = 100
"""For so many steps a sign must last before it is said."""

PATIENCE_LINES = 3
"""And, of a router, for so many lines of the log."""

SMALLEST_MOVE = 0.01
"""Part of the first loss that the loss must have fallen by."""

LARGE_MOVE = 0.1
"""A fall by this part of it is no chance, however much the lines differ."""

CROWDED = 0.9
"""Part of the tokens whose first choice is one and the same expert."""

CERTAIN = 0.01
"""Part of the largest entropy, ln(experts), below which a router is always certain."""

DROPPED = 0.5
"""Part of a layer's tokens that found no room in an expert."""


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What the signs are measured against.

    Attributes:
      steps: steps of the whole run.
      vocab_size: tokens there are: a uniform guess has a loss of ln(vocab_size).
      num_experts: experts of each layer that has any; 0 if none has.
      starts_trained: whether the first weights are of a checkpoint, whose loss may have
        nowhere to fall.
    """

    steps: int
    vocab_size: int
    num_experts: int = 0
    starts_trained: bool = False


class Alarms:
    """Reads the lines of the log one after the other."""

    def __init__(self, facts: RunFacts):
        """Starts before the first line."""
        self._facts = facts
        self._first: list[float] = []
        self._first_step = 0
        # Lines of the newest steps, and enough to see how much they differ.
        self._recent: deque[tuple[int, float]] = deque(maxlen=PATIENCE_STEPS)
        self._rate = math.inf
        self._rose_at = 0
        self._since: dict[str, tuple[int, int]] = {}
        self._said: set[str] = set()

    def note(self, line: Mapping[str, Any]) -> list[str]:
        """Takes a line of the log; returns what is to be said now, a sentence each.

        What lasts is said once, and again if it came back after it had gone. A line has
        `step`, `loss`, `learning_rate` and, of a sparse model, `layer_routing`.
        """
        step: int = line["step"]
        rate_signs = self._rate_signs(step, line["learning_rate"])
        loss_signs = self._loss_signs(step, line["loss"])
        router_signs = dict(self._router_signs(line.get("layer_routing", {})))
        # A rate of 0 says why the loss stands still.
        signs = (rate_signs or loss_signs) | self._lasting(step, router_signs)
        new = [sentence for sign, sentence in signs.items() if sign not in self._said]
        self._said = set(signs)
        return new

    def _lasting(self, step: int, signs: Mapping[str, str]) -> dict[str, str]:
        """Returns the signs that were there long enough, in every line."""
        self._since = {sign: self._since.get(sign, (step, 0)) for sign in signs}
        lasting = {}
        for sign, sentence in signs.items():
            began, lines = self._since[sign]
            self._since[sign] = began, lines + 1
            if step - began >= PATIENCE_STEPS and lines + 1 >= PATIENCE_LINES:
                lasting[sign] = sentence
        return lasting

    def _rate_signs(self, step: int, rate: float) -> dict[str, str]:
        if rate > self._rate:
            self._rose_at = step
        self._rate = rate
        left = self._facts.steps - step
        if rate != 0.0 or not left:
            return {}
        return {
            "rate": f"the learning rate is 0 at step {step:,}, and {left:,} steps are "
            "to come, which will change nothing; see where the schedule ends "
            "(total_steps of linear_warmup_and_cooldown, linear_decay and "
            "cosine_decay), or that its base is above 0"
        }

    def _loss_signs(self, step: int, loss: float) -> dict[str, str]:
        """A loss that stands where it began, after the warm-up.

        The means of the first and of the newest `PATIENCE_STEPS` steps are compared.
        The loss has moved if it fell by more than `SMALLEST_MOVE` of itself, and by
        more than three standard errors of the difference, which no more than
        `LARGE_MOVE` is asked for. The variance of a line is that of the differences
        between neighbours (von Neumann 1941, "Distribution of the ratio of the mean
        square successive difference to the variance"), since a trend hardly adds to
        it. The warm-up is over when the rate has not risen for `PATIENCE_STEPS`.
        """
        if not self._first or step <= PATIENCE_STEPS:
            self._first.append(loss)
            self._first_step = step
        self._recent.append((step, loss))
        if step - max(self._first_step, self._rose_at) < PATIENCE_STEPS:
            return {}
        newest = [x for at, x in self._recent if at > step - PATIENCE_STEPS]
        start, now = statistics.fmean(self._first), statistics.fmean(newest)
        spread = 3.0 * self._noise() * math.sqrt(1 / len(self._first) + 1 / len(newest))
        # What was said once is taken back for a clear movement only.
        least = SMALLEST_MOVE if "loss" not in self._said else LARGE_MOVE
        wanted = min(max(least * start, spread), LARGE_MOVE * start)
        guess = math.log(self._facts.vocab_size)
        moved = start - now > wanted or self._facts.starts_trained
        if moved and now < (1.0 - SMALLEST_MOVE) * guess:
            return {}
        return {
            "loss": f"the loss has not moved: {now:.3f} around step {step:,}, "
            f"{start:.3f} at the start; a uniform guess over {self._facts.vocab_size:,}"
            f" tokens has {guess:.3f}. The learning rate is {self._rate:.3g} now: try, "
            "in a new model folder, one ten times lower, a longer warm-up, or one ten "
            "times higher; `mtmoe tasks preview` shows whether the targets can be "
            "told from the inputs"
        }

    def _noise(self) -> float:
        """The standard deviation of a line's loss; 0 while lines are few."""
        losses = [loss for _, loss in self._recent]
        steps = [(b - a) ** 2 for a, b in itertools.pairwise(losses)]
        return math.sqrt(statistics.fmean(steps) / 2) if len(steps) >= 5 else 0.0

    def _router_signs(
        self, layers: Mapping[str, Mapping[str, float]]
    ) -> Iterator[tuple[str, str]]:
        experts = self._facts.num_experts
        if experts < 2:
            return
        for name, layer in layers.items():
            crowd = layer["load_max_over_mean"] / experts
            if crowd >= CROWDED:
                yield (
                    f"crowded {name}",
                    f"the router of {name} has collapsed: {crowd:.0%} of its tokens "
                    f"choose one of {experts} experts. Raise balance_loss_weight or "
                    "jitter_epsilon, or lower the learning rate",
                )
            elif layer["z"] > 0.0 and layer["entropy"] < CERTAIN * math.log(experts):
                # Routers without scores, as HashRouter, have neither.
                yield (
                    f"certain {name}",
                    f"the router of {name} gives every token one expert with "
                    f"certainty (entropy {layer['entropy']:.4f} of "
                    f"{math.log(experts):.2f}) and learns no more. Raise z_loss_weight "
                    "or lower the learning rate",
                )
            if layer["dropped_fraction"] > DROPPED:
                yield (
                    f"dropped {name}",
                    f"{layer['dropped_fraction']:.0%} of the tokens of {name} find no "
                    "room in an expert. Raise Capacity.train_factor or "
                    "balance_loss_weight",
                )
