"""A run's model as something that writes: batches in, tokens or scores out.

`Generator.predict_fn` and `TargetScorer.score_fn` are what `seqio.Evaluator.evaluate`
takes; an example's number in the data set is the key of its noise.

Legend: B batch, E examples, L inputs length, T targets length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import ConfigError
from mtmoe.evaluate.losses import assign_weights
from mtmoe.evaluate.progress import BatchProgress
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


class Generator:
    """Decodes examples with a run's model; weights come by `load`."""

    def __init__(
        self,
        run: TrainingRun,
        strategy: Strategy,
        eos_id: int,
        batch_size: int | None = None,
        seed: int | None = None,
        lengths: Lengths | None = None,
    ):
        """Builds the graph, one for all batches; XLA compiles at the first.

        Args:
          run: the run as it was trained.
          strategy: how tokens are chosen.
          eos_id: token that ends a sequence.
          batch_size: rows of a batch; the run's if None.
          seed: seed of the noise; the run's if None.
          lengths: room for `inputs`, and most tokens of `targets`; the run's if None,
            where a decoder alone has room for `targets` tokens of either.
        """
        lengths = lengths or run.lengths
        self._inputs_length = lengths.get("inputs", lengths["targets"])
        self._batch_size = batch_size or run.batch_size
        self._program = MeshProgram(
            run.layout.without("length"),  # one token at a time
            run.seed if seed is None else seed,
            run.precision,
        )
        self._generate = self._program.function(
            generation_builder(run.model, strategy, lengths["targets"], eos_id),
            {
                "inputs": tf.TensorSpec(
                    [self._batch_size, self._inputs_length], tf.int32
                ),
                "example_keys": tf.TensorSpec([self._batch_size], tf.int32),
            },
            name="generation",
        )

    def load(self, values: Mapping[str, NDArray[np.generic]], where: str) -> None:
        """Takes the weights of a checkpoint; see `assign_weights`."""
        assign_weights(self._program, values, where)

    def __call__(self, inputs: Ids, keys: Sequence[int], what: str) -> Ids:
        """Decodes examples.

        Args:
          inputs: [E, L], padded with 0 at the end.
          keys: of each example's noise, not negative.
          what: named by the progress line.

        Returns:
          [E, T]: tokens up to and including the end mark, then 0.
        """
        inputs = _fitted(inputs, self._inputs_length, "inputs")
        decoded = []
        for rows in _batches(len(inputs), self._batch_size, what):
            filler = self._batch_size - len(rows)
            outputs = self._generate(
                0,
                inputs=np.pad(inputs[rows], ((0, filler), (0, 0))),
                example_keys=np.pad(
                    np.asarray(keys, np.int32)[rows], (0, filler), constant_values=-1
                ),
            )
            decoded.append(np.asarray(outputs["tokens"])[: len(rows)])
        return np.concatenate(decoded)

    def predict_fn(
        self,
        dataset: tf.data.Dataset,
        model_feature_shapes: Mapping[str, Any] | None = None,
    ) -> list[tuple[int, list[int]]]:
        """Decodes a data set as `seqio.Evaluator` hands it over.

        Args:
          dataset: pairs (number, example), with `inputs` or `encoder_input_tokens`.
          model_feature_shapes: what an evaluator may say of them; not needed.

        Returns:
          Pairs (number, tokens), all of one length, 0 behind the end mark.
        """
        del model_feature_shapes
        numbers, features = _examples(dataset, ["inputs"])
        inputs = _stacked(features["inputs"], self._inputs_length, "inputs")
        tokens = self(inputs, numbers, "decoding")
        return list(zip(numbers, tokens.tolist(), strict=True))


class TargetScorer:
    """Scores given targets with a run's model; weights come by `load`."""

    def __init__(self, run: TrainingRun, lengths: Lengths | None = None):
        """Builds the graph.

        Args:
          run: the run as it was trained.
          lengths: room for `inputs` and `targets`; the run's if None, where a decoder
            alone has room for `targets` tokens of either.
        """
        lengths = lengths or run.lengths
        self._lengths = {
            "inputs": lengths.get("inputs", lengths["targets"]),
            "targets": lengths["targets"],
        }
        self._batch_size = run.batch_size
        self._program = MeshProgram(
            run.layout.without("length"), run.seed, run.precision
        )
        self._score = self._program.function(
            scoring_builder(run.model),
            {
                name: tf.TensorSpec([run.batch_size, length], tf.int32)
                for name, length in self._lengths.items()
            },
            name="scoring",
        )

    def load(self, values: Mapping[str, NDArray[np.generic]], where: str) -> None:
        """Takes the weights of a checkpoint; see `assign_weights`."""
        assign_weights(self._program, values, where)

    def __call__(self, inputs: Ids, targets: Ids, what: str) -> NDArray[np.float64]:
        """Scores examples.

        Args:
          inputs: [E, L], padded with 0 at the end.
          targets: [E, T], likewise.
          what: named by the progress line.

        Returns:
          [E], the log-likelihood of each example's targets.
        """
        inputs = _fitted(inputs, self._lengths["inputs"], "inputs")
        targets = _fitted(targets, self._lengths["targets"], "targets")
        scores = []
        for rows in _batches(len(inputs), self._batch_size, what):
            padding = ((0, self._batch_size - len(rows)), (0, 0))
            outputs = self._score(
                0,
                inputs=np.pad(inputs[rows], padding),
                targets=np.pad(targets[rows], padding),
            )
            by_token = np.asarray(outputs["token_log_likelihood"])[: len(rows)]
            scores.append(by_token.astype(np.float64).sum(axis=1))
        return np.concatenate(scores)

    def score_fn(
        self,
        dataset: tf.data.Dataset,
        model_feature_shapes: Mapping[str, Any] | None = None,
    ) -> list[tuple[int, float]]:
        """Scores a data set as `seqio.Evaluator` hands it over.

        Args:
          dataset: pairs (number, example), with inputs and targets under SeqIO's names
            of them or those of its feature converters.
          model_feature_shapes: what an evaluator may say of them; not needed.

        Returns:
          Pairs (number, log-likelihood of the targets).
        """
        del model_feature_shapes
        numbers, features = _examples(dataset, ["inputs", "targets"])
        inputs, targets = (
            _stacked(features[name], self._lengths[name], name)
            for name in ("inputs", "targets")
        )
        scores = self(inputs, targets, "scoring")
        return list(zip(numbers, scores.tolist(), strict=True))


def _batches(num_examples: int, size: int, what: str) -> Iterator[NDArray[np.int64]]:
    """Yields the rows of each batch, and says how far it is."""
    starts = range(0, num_examples, size)
    progress = BatchProgress(what, len(starts))
    for i, start in enumerate(starts, start=1):
        yield np.arange(start, min(start + size, num_examples))
        progress.done(i)


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


def _stacked(rows: Sequence[Ids], length: int, name: str) -> Ids:
    """Rows of any lengths, one below the other, padded with 0."""
    longest = max((len(row) for row in rows), default=0)
    padded = [np.pad(row, (0, longest - len(row))) for row in rows]
    return _fitted(np.stack(padded), length, name)


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
