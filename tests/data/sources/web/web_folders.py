"""Writes folders of web text in exactly the layouts they are published in.

Every language gets four shards: whole, damaged, empty, and one with a record that is
not UTF-8. The text is that of the embedded corpus, as it is on this machine.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet
import tensorflow as tf
import zstandard

from mtmoe.data.sources.embedded.corpus import load_corpus
from mtmoe.data.sources.web.held_out import rule_of
from mtmoe.data.sources.web.pages import web_page

LANGUAGES = ("sw", "iw", "no", "fil", "zh", "ru-Latn")
_PAGES = 12
_BAD = "caf\u00e9".encode("latin-1")

# A letter for a letter is enough for text that is Russian and Latin.
_ROMANISED = str.maketrans(
    "абвгдежзийклмнопрстуфхцчшщъыьэюя", "abvgdejziiklmnoprstufhccssqyqeua"
)


def texts(code: str, count: int = _PAGES) -> list[str]:
    """Documents of a language, of several lines each."""
    documents = load_corpus().documents(code.removesuffix("-Latn"), "train")
    pages = ["\n".join(documents[i::count]) for i in range(count)]
    if code == "ru-Latn":
        pages = [page.lower().translate(_ROMANISED) for page in pages]
    return pages


def url(code: str, number: int, held_out: bool = False) -> str:
    """A URL that mC4's rule puts into training, or into validation."""
    attempt = 0
    while True:
        address = f"https://www.example.org/{code}/{number}/{attempt}"
        if web_page("", address).is_held_out == held_out:
            return address
        attempt += 1


def split_texts(code: str, has_urls: bool = True) -> dict[str, list[str]]:
    """The documents of a language by split, where no files are validation text."""
    pages = [
        web_page(text, url(code, i) if has_urls else "")
        for i, text in enumerate(texts(code))
    ]
    rule = rule_of(pages)
    return {
        "train": [page.text for page in pages if page not in rule],
        "validation": [page.text for page in pages if page in rule],
    }


@dataclass(frozen=True)
class Shards:
    """How a layout names its shards: train ones by number, validation ones if any."""

    train: Callable[[str, int], str]
    validation: Callable[[str], str] | None = None
    url_key: str = "url"
    codes: Mapping[str, str] | None = None

    def code(self, language: str) -> str:
        return (self.codes or {}).get(language, language)


ISO_SCRIPT = {
    "sw": "swh_Latn",
    "iw": "heb_Hebr",
    "no": "nob_Latn",
    "fil": "fil_Latn",
    "zh": "zho_Hans",
    "ru-Latn": "rus_Latn",
}
LAYOUTS = {
    "AllenAI's mC4 3.0.1": Shards(
        lambda c, i: f"multilingual/c4-{c}.tfrecord-{i:05d}-of-00004.json.gz",
        lambda c: f"multilingual/c4-{c}-validation.tfrecord-00000-of-00001.json.gz",
    ),
    "AllenAI's mC4 3.1.0": Shards(
        lambda c, i: f"multilingual/c4-{c}.{2 * i:05d}-{2 * i + 1:05d}.json.gz",
        lambda c: f"multilingual/c4-{c}-validation.00000.json.gz",
    ),
    "MADLAD-400": Shards(
        lambda c, i: f"data/{c}/{c}_clean_{i:04d}.jsonl.gz",
        url_key="",
        codes={"ru-Latn": "ru_Latn"},
    ),
    "CulturaX": Shards(
        lambda c, i: f"{c}/{c}_part_{i:05d}.parquet",
        codes={"iw": "he", "fil": "tl"},
    ),
    "HPLT 1.2": Shards(
        lambda c, i: f"cleaned/{c}/{c}_{i + 1}.jsonl.zst",
        codes={"iw": "he", "fil": "tl", "no": "nb"},
    ),
    "HPLT 2.0": Shards(
        lambda c, i: f"{c}/train-{i:05d}-of-00004.parquet",
        url_key="u",
        codes=ISO_SCRIPT,
    ),
    "HPLT 3.0": Shards(
        lambda c, i: f"sorted/{c}/{i + 5}_1.jsonl.zst",
        url_key="u",
        codes={**ISO_SCRIPT, "zh": "cmn_Hans"},
    ),
    "FineWeb2": Shards(
        lambda c, i: f"data/{c}/train/000_{i:05d}.parquet",
        codes={**ISO_SCRIPT, "zh": "cmn_Hani"},
    ),
}
ENDINGS = (".txt", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".txt.gz")


def write_layout(folder: Path, name: str, languages: Sequence[str]) -> None:
    """Writes a published layout."""
    shards = LAYOUTS[name]
    for language in languages:
        code = shards.code(language)
        paths = [folder / shards.train(code, i) for i in range(4)]
        write_shards(paths, list(records(language, shards.url_key)))
        if shards.validation:
            page = {"text": "held out", shards.url_key: url(language, 99, True)}
            write_records(folder / shards.validation(code), [page])


def records(language: str, url_key: str = "url") -> Iterator[dict[str, str]]:
    for number, text in enumerate(texts(language)):
        record = {"text": text, "timestamp": "2020-01-01T00:00:00Z"}
        if not url_key:
            record["text"] = text.replace("\n", "\\n")
        else:
            record[url_key] = url(language, number)
        yield record


def write_shards(paths: Sequence[Path], rows: Sequence[dict[str, str]]) -> None:
    """Writes all rows into four shards: good, damaged, empty, one row not UTF-8."""
    good, damaged, empty, mixed = paths
    half = len(rows) // 2
    write_records(good, rows[:half])
    write_records(damaged, [])
    damaged.write_bytes(b"\x07 this is no archive of any kind \xff" * 9)
    write_records(empty, [])
    write_records(mixed, rows[half:], bad_after=1)


def write_records(
    path: Path, rows: Sequence[dict[str, str]], bad_after: int | None = None
) -> None:
    """Writes rows in the container the name says; one row more that is not UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = [{key: value.encode() for key, value in row.items()} for row in rows]
    if bad_after is not None:
        encoded.insert(bad_after, {**encoded[0], "text": _BAD})
    if path.suffix == ".parquet":
        _write_parquet(path, encoded)
        return
    is_text = ".txt" in path.name
    lines = [row["text"] if is_text else _json_line(row) for row in encoded]
    content = b"".join(line + b"\n" for line in lines)
    if path.suffix == ".gz":
        content = gzip.compress(content)
    elif path.suffix == ".zst":
        content = zstandard.compress(content)
    path.write_bytes(content)


def _json_line(row: Mapping[str, bytes]) -> bytes:
    line = json.dumps({k: v.decode("latin-1") for k, v in row.items()})
    if row["text"] == _BAD:
        return line.replace("caf\\u00e9", "caf@").encode().replace(b"@", b"\xe9")
    return json.dumps({k: v.decode() for k, v in row.items()}).encode()


def _write_parquet(path: Path, rows: Sequence[Mapping[str, bytes]]) -> None:
    names = list(rows[0]) if rows else ["text", "url"]
    columns = {
        name: pyarrow.array([row[name] for row in rows], pyarrow.binary()).view(
            pyarrow.string()
        )
        for name in names
    }
    columns["pii"] = pyarrow.array([[[1, 2]]] * len(rows))
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def write_tfds(folder: Path, version: str, languages: Sequence[str]) -> Path:
    """Writes `c4/multilingual` as TensorFlow Datasets prepares it."""
    rows = {code: list(records(code)) for code in languages}
    held_out = {"text": "held out", "timestamp": "", "url": "https://example.org/v"}
    splits = {}
    for code in languages:
        splits[code] = [rows[code][:6], [], [], rows[code][6:]]
        splits[f"{code}-validation"] = [[held_out]]
    splits["und"] = [[held_out]]
    return _write_tfds(folder / "c4" / "multilingual" / version, splits, version)


def write_tfds_english(folder: Path) -> Path:
    """Writes `c4/en` likewise."""
    rows = list(records("en"))
    splits = {"train": [rows[:6], [], [], rows[6:]], "validation": [rows[:1]]}
    return _write_tfds(folder / "c4" / "en" / "3.0.1", splits, "3.0.1")


def _write_tfds(
    target: Path, splits: Mapping[str, Sequence[Sequence[dict[str, str]]]], version: str
) -> Path:
    import tensorflow_datasets as tfds

    target.mkdir(parents=True)
    names = ("text", "url", "content-type", "content-length", "timestamp")
    features = tfds.features.FeaturesDict(
        {name: tfds.features.Text() for name in names}
    )
    for split, shards in splits.items():
        for number, shard in enumerate(shards):
            name = f"c4-{split}.tfrecord-{number:05d}-of-{len(shards):05d}"
            _write_tfrecord(target / name, shard, names, bad=number == 3)
            if number == 1:
                (target / name).write_bytes(b"\x07 this is no archive" * 9)
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    tfds.folder_dataset.write_metadata(
        data_dir=str(target),
        features=features,
        filename_template=template,
        split_infos=[
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[max(len(shard), 1) for shard in shards],
                num_bytes=1,
                filename_template=tfds.core.ShardedFileTemplate(
                    data_dir=target,
                    template=template,
                    dataset_name="c4",
                    split=split,
                    filetype_suffix="tfrecord",
                ),
            )
            for split, shards in splits.items()
        ],
        version=version,
        check_data=False,
    )
    return target


def _write_tfrecord(
    path: Path, rows: Sequence[dict[str, str]], names: Sequence[str], bad: bool
) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        contents = [row["text"].encode() for row in rows]
        urls = [row["url"] for row in rows]
        if bad:
            contents.insert(1, _BAD)
            urls.insert(1, urls[0])
        for content, address in zip(contents, urls, strict=True):
            values = dict.fromkeys(names, b"") | {
                "text": content,
                "url": address.encode(),
            }
            feature = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in values.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
