"""C4 and mC4 as TensorFlow Datasets prepares them: `c4/multilingual`, `c4/en`.

The files of a prepared folder are read by what its `dataset_info.json` and
`features.json` say, whatever the version: 3.0.1, which no current release of
TensorFlow Datasets can build any more, reads like 3.1.0.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from mtmoe.data.sources.bad_record import BadRecord, OnBad
from mtmoe.data.sources.so_far import ReadSoFar
from mtmoe.data.sources.web.layouts import TFDS, Layout
from mtmoe.errors import CorpusError

_VALIDATION = "-validation"
_TEXT = "text"


def versions(directory: str, names: Sequence[str], dataset: str) -> list[str]:
    """Returns the folders of a data set's prepared versions, relative to `directory`.

    Args:
      directory: the folder.
      names: all file names below it.
      dataset: `mc4` or `c4`.
    """
    folders = [m["folder"] for name in names if (m := TFDS.pattern.match(name))]
    return [
        folder
        for folder in folders
        if ("train" in _builder(directory, folder).info.splits) == (dataset == "c4")
    ]


def files(
    directory: str, folder: str, layout: Layout
) -> tuple[dict[str, Mapping[str, tuple[str, ...]]], tuple[str, ...]]:
    """Returns (files by language and split, codes that are no language's)."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    others = []
    for name, split in _builder(directory, folder).info.splits.items():
        if name in ("train", "validation"):
            code: str | None = "en"
        else:
            code = layout.language(name.removesuffix(_VALIDATION))
        if code is None:
            others.append(name)
            continue
        is_validation = name == "validation" or name.endswith(_VALIDATION)
        paths = tuple(str(path) for path in split.filepaths)
        found.setdefault(code, {})["validation" if is_validation else "train"] = paths
    return dict(found), tuple(others)


def read_prepared(
    path: str, on_bad: OnBad, so_far: ReadSoFar | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (record number from 1, record) of a prepared file.

    Args:
      path: the file; the folder it is in has the descriptions.
      on_bad: called with each record that cannot be read.
      so_far: is told how far the reading has come, where somebody asks.
    """
    directory, _, _ = path.rpartition("/")
    builder = _builder(directory, "")
    records = _adapter(builder).make_tf_data(path)
    number = 0
    if so_far is not None:
        length = max(_stated_length(builder, path), 1)
        so_far.fraction = lambda: number / length
    try:
        for serialized in records.as_numpy_iterator():
            number += 1
            try:
                yield number, _record(serialized)
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                reason = (
                    f"not UTF-8: byte {byte:#04x} at offset {error.start} of {_TEXT}"
                )
                on_bad(BadRecord(path, number, reason))
    except (tf.errors.OpError, OSError, DecodeError) as error:
        # What TensorFlow says is wrong stands between names of its operations.
        said = str(error).splitlines()[0].rpartition("}} ")[2].partition(" [Op:")[0]
        line = number if isinstance(error, DecodeError) else number + 1
        on_bad(BadRecord(path, line, f"damaged: {said}", ends_file=True))


def _stated_length(builder: Any, path: str) -> int:
    """Returns how many records a file has by what was written when it was prepared."""
    for split in builder.info.splits.values():
        paths = list(map(str, split.filepaths))
        if path in paths:
            return int(split.shard_lengths[paths.index(path)])
    return 0


def _record(serialized: bytes) -> dict[str, str]:
    """Returns the texts of an example: C4 has no other features."""
    features = tf.train.Example.FromString(serialized).features.feature
    return {
        name: features[name].bytes_list.value[0].decode("utf-8")
        for name in (_TEXT, "url")
        if name in features and features[name].bytes_list.value
    }


def _adapter(builder: Any) -> Any:
    from tensorflow_datasets.core import file_adapters

    return file_adapters.ADAPTER_FOR_FORMAT[builder.info.file_format]


@functools.lru_cache(maxsize=32)
def _builder(directory: str, folder: str) -> Any:
    import tensorflow_datasets as tfds

    path = f"{directory}/{folder}".rstrip("/")
    try:
        builder = tfds.builder_from_directory(path)
        adapter = _adapter(builder)
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise CorpusError(
            f"{path} has a dataset_info.json, but TensorFlow Datasets cannot open it: "
            f"{error}"
        ) from error
    if not adapter.SUPPORTS_TF_DATA:
        raise CorpusError(
            f"{path} is prepared as {builder.info.file_format.value}, which tf.data "
            "cannot read; prepare it as tfrecord"
        )
    return builder
