"""The files of a Hugging Face folder: config.json and safetensors, read and written.

Nothing here unpickles: a pickle runs the code it holds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (gives numpy the name bfloat16, which safetensors asks for)
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mtmoe import files
from mtmoe.checkpoint.finite import check_finite
from mtmoe.errors import CheckpointError
from mtmoe.surgery.huggingface.names import Array

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_FLOATS = ("F64", "F32", "F16", "BF16")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
      CheckpointError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} is missing; --input_dir is a folder as `save_pretrained` of "
            "transformers writes it"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON object."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def read_tensors(folder: Path) -> dict[str, Array]:
    """Reads all tensors of model.safetensors, or of its index's shards, as float32.

    Raises:
      CheckpointError: there are no safetensors, one of them is damaged, the index and
        the shards disagree, or a tensor is not of a float type, or not finite in
        float32.
    """
    if (folder / WEIGHTS).is_file():
        return dict(_read_file(folder / WEIGHTS))
    if not (folder / INDEX).is_file():
        raise _no_safetensors(folder)
    shard_of = read_json(folder / INDEX).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise CheckpointError(f"{folder / INDEX} has no weight_map")
    tensors: dict[str, Array] = {}
    for shard in sorted(set(shard_of.values())):
        if Path(shard).name != shard:
            raise CheckpointError(f"{folder / INDEX} names {shard!r}, not a file name")
        for name, tensor in _read_file(folder / shard):
            if shard_of.get(name) != shard:
                raise CheckpointError(
                    f"{folder / shard} holds {name}, which {INDEX} puts in "
                    f"{shard_of.get(name, 'no file')}"
                )
            tensors[name] = tensor
    if missing := sorted(shard_of.keys() - tensors.keys()):
        raise CheckpointError(
            f"{folder / INDEX} names {len(missing)} tensors that its files do not "
            f"hold: {missing[:3]}"
        )
    return tensors


def write_tensors(folder: Path, tensors: Mapping[str, Array]) -> None:
    """Writes model.safetensors, readable as the umask allows.

    Raises:
      OSError: the disk is full or the folder cannot be written to.
    """
    path = folder / WEIGHTS
    path.touch()
    mode = path.stat().st_mode
    try:
        # transformers asks for this note and refuses a file without it.
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    # safetensors writes a temporary file there that only its owner can read.
    path.chmod(mode)


def check_new(path: Path) -> None:
    """Checks that nothing would be overwritten.

    Raises:
      CheckpointError: something is there already, other than an empty folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise CheckpointError(
            f"{path} exists and is not empty; take another --output_dir or remove it"
        )


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder that becomes `path` when it has been filled.

    Raises:
      CheckpointError: something other than an empty folder is there, or writing fails;
        nothing that was written remains then.
    """
    check_new(path)
    try:
        with files.new_folder(path) as folder:
            yield folder
    except OSError as error:
        raise CheckpointError(f"{path} could not be written: {error}") from error


def _read_file(path: Path) -> Iterator[tuple[str, Array]]:
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118  (it is no dict)
                kind = file.get_slice(name).get_dtype()
                if kind not in _FLOATS:
                    raise CheckpointError(
                        f"{path}: tensor {name} is of type {kind}; import takes "
                        f"{', '.join(_FLOATS)}. A quantized checkpoint has to be "
                        "written in one of these first."
                    )
                with np.errstate(over="ignore"):  # said by the check
                    tensor = file.get_tensor(name).astype(np.float32)
                check_finite({name: tensor}, str(path))
                yield name, tensor
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _no_safetensors(folder: Path) -> CheckpointError:
    pickles = sorted(path.name for path in folder.glob("*.bin*"))
    message = f"{folder} has neither {WEIGHTS} nor {INDEX}"
    if pickles:
        message += (
            f"; it has {pickles[0]}, a pickle, which can run code and is not read. "
            "Where you trust it, transformers rewrites it as safetensors: "
            "AutoModelForSeq2SeqLM.from_pretrained(FOLDER).save_pretrained(NEW)"
        )
    return CheckpointError(message)
