"""A run's model as something that writes: batches in, tokens or scores out.

`Generator.predict_fn` and `TargetScorer.score_fn` are what `seqio.Evaluator.evaluate`
takes; an example's number in the data set is the key of its noise.

Legend: B batch, E examples, L inputs length, T targets length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import ConfigError
from mtmoe.evaluate.batched_model import BatchedModel
from mtmoe.model.decoding.generate import generation_builder
from mtmoe.model.decoding.scoring import scoring_builder
from mtmoe.model.decoding.strategies import Strategy
from mtmoe.train.settings import TrainingRun

Ids = NDArray[np.int32]
Lengths = Mapping[str, int]

# Names of one and the same feature: of tasks, and of SeqIO's feature converters.
_NAMES = {
    "inputs": ("inputs", "encoder_input_tokens"),
    "targets": ("targets", "decoder_target_tokens"),
}


class Generator(BatchedModel):
    """Decodes examples with a run's model."""

    def __init__(
        self,
        run: TrainingRun,
        strategy: Strategy,
        eos_id: int,
        batch_size: int | None = None,
        seed: int | None = None,
        lengths: Lengths | None = None,
    ):
        """Builds the graph.

        Args:
          run: the run as it was trained.
          strategy: how tokens are chosen.
          eos_id: token that ends a sequence.
          batch_size: rows of a batch; the run's if None.
          seed: seed of the noise; the run's if None.
          lengths: see `_room`.
        """
        self._lengths = _room(run, lengths)
        size = batch_size or run.batch_size
        super().__init__(
            _one_token_at_a_time(run, run.seed if seed is None else seed),
            generation_builder(run.model, strategy, self._lengths["targets"], eos_id),
            {
                "inputs": tf.TensorSpec([size, self._lengths["inputs"]], tf.int32),
                "example_keys": tf.TensorSpec([size], tf.int32),
            },
            "generation",
        )

    def __call__(self, inputs: Ids, keys: Sequence[int], what: str) -> Ids:
        """Decodes examples.

        Args:
          inputs: [E, L], padded with 0 at the end.
          keys: of each example's noise, not negative.
          what: named by the progress line.

        Returns:
          [E, T]: tokens up to and including the end mark, then 0.
        """
        inputs = _fitted(inputs, self._lengths["inputs"], "inputs")
        keys_E = np.asarray(keys, np.int32)
        batches = self.outputs(
            np.arange(len(inputs)),
            lambda rows: {"inputs": inputs[rows], "example_keys": keys_E[rows]},
            what,
        )
        return np.concatenate([outputs_B["tokens"] for outputs_B in batches])

    def predict_fn(
        self,
        dataset: tf.data.Dataset,
        model_feature_shapes: Mapping[str, Any] | None = None,
    ) -> list[tuple[int, list[int]]]:
        """Decodes a data set as `seqio.Evaluator` hands it over.

        It holds pairs (number, example), with `inputs` or `encoder_input_tokens`.

        Returns:
          Pairs (number, tokens), all of one length, 0 behind the end mark.
        """
        del model_feature_shapes
        numbers, features = _examples(dataset, ["inputs"])
        tokens = self(stacked(features["inputs"]), numbers, "decoding")
        return list(zip(numbers, tokens.tolist(), strict=True))


class TargetScorer(BatchedModel):
    """Scores given targets with a run's model."""

    def __init__(self, run: TrainingRun, lengths: Lengths | None = None):
        """Builds the graph of a run as it was trained; see `_room` for `lengths`."""
        self._lengths = _room(run, lengths)
        super().__init__(
            _one_token_at_a_time(run, run.seed),
            scoring_builder(run.model),
            {
                name: tf.TensorSpec([run.batch_size, length], tf.int32)
                for name, length in self._lengths.items()
            },
            "scoring",
        )

    def __call__(self, inputs: Ids, targets: Ids, what: str) -> NDArray[np.float64]:
        """Returns the log-likelihood [E] of targets [E, T] behind inputs [E, L].

        Both are padded with 0 at the end; `what` is named by the progress line.
        """
        inputs = _fitted(inputs, self._lengths["inputs"], "inputs")
        targets = _fitted(targets, self._lengths["targets"], "targets")
        batches = self.outputs(
            np.arange(len(inputs)),
            lambda rows: {"inputs": inputs[rows], "targets": targets[rows]},
            what,
        )
        name = "token_log_likelihood"
        return np.concatenate(
            [outputs_B[name].astype(np.float64).sum(axis=1) for outputs_B in batches]
        )

    def score_fn(
        self,
        dataset: tf.data.Dataset,
        model_feature_shapes: Mapping[str, Any] | None = None,
    ) -> list[tuple[int, float]]:
        """Scores a data set as `seqio.Evaluator` hands it over.

        It holds pairs (number, example), with inputs and targets under SeqIO's names of
        them or those of its feature converters.

        Returns:
          Pairs (number, log-likelihood of the targets).
        """
        del model_feature_shapes
        numbers, features = _examples(dataset, ["inputs", "targets"])
        inputs, targets = map(stacked, (features["inputs"], features["targets"]))
        scores = self(inputs, targets, "scoring")
        return list(zip(numbers, scores.tolist(), strict=True))


def _room(run: TrainingRun, lengths: Lengths | None) -> dict[str, int]:
    """Room for `inputs` and `targets`: the run's by default.

    There a decoder alone has room for `targets` tokens of either.
    """
    lengths = lengths or run.lengths
    targets = lengths["targets"]
    return {"inputs": lengths.get("inputs", targets), "targets": targets}


def _one_token_at_a_time(run: TrainingRun, seed: int) -> MeshProgram:
    return MeshProgram(run.layout.without("length"), seed, run.precision)


def _examples(
    dataset: tf.data.Dataset, names: Iterable[str]
) -> tuple[list[int], dict[str, list[Ids]]]:
    numbers: list[int] = []
    features: dict[str, list[Ids]] = {name: [] for name in names}
    for number, example in dataset.as_numpy_iterator():
        numbers.append(int(number))
        for name, values in features.items():
            found = [key for key in _NAMES[name] if key in example]
            if not found:
                raise ConfigError(
                    f"the data set has {', '.join(sorted(example))}, none of "
                    f"{' and '.join(_NAMES[name])}"
                )
            values.append(np.asarray(example[found[0]], np.int32))
    return numbers, features


def stacked(rows: Sequence[Ids]) -> Ids:
    """Returns rows of any lengths, one below the other, padded with 0."""
    longest = max(map(len, rows), default=0)
    return np.stack([np.pad(row, (0, longest - len(row))) for row in rows])


def _fitted(rows: Ids, length: int, name: str) -> Ids:
    """Pads rows with 0 to a length, or cuts padding off.

    Raises:
      ConfigError: a row has more tokens than that.
    """
    if rows[:, length:].any():
        longest = int(np.max(np.flatnonzero(rows.any(axis=0)))) + 1
        raise ConfigError(
            f"{name} of {longest} tokens do not fit into the {length} that the model "
            "was made ready for; give the data set the lengths of training"
        )
    rows = rows[:, :length]
    return np.pad(rows, ((0, 0), (0, length - rows.shape[1])))
