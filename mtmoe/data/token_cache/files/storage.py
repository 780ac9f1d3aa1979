"""Files of a cache: local by the operating system, `gs://...` through TensorFlow.

Paths are strings, since `pathlib` would make `gs:/` of `gs://`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from mtmoe.data.ground.cache import write_atomically
from mtmoe.errors import MtmoeError

Location = str | os.PathLike[str]


def is_remote(path: Location) -> bool:
    """Returns whether a path has a scheme, as in `gs://bucket/folder`."""
    return "://" in os.fspath(path)


def join(directory: Location, *names: str) -> str:
    """Returns the path of something below a directory."""
    return "/".join([os.fspath(directory).rstrip("/"), *names])


def file_size(path: Location) -> int | None:
    """Returns the bytes of a file; None if there is no such file."""
    if not is_remote(path):
        try:
            return os.stat(path).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
    import tensorflow as tf

    try:
        return int(tf.io.gfile.stat(os.fspath(path)).length)
    except tf.errors.NotFoundError:
        return None


def read_file(path: Location) -> bytes:
    """Returns all bytes of a file.

    Raises:
      FileNotFoundError: there is none.
    """
    if not is_remote(path):
        return Path(path).read_bytes()
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(os.fspath(path), "rb") as file:
            return bytes(file.read())
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(os.fspath(path)) from error


def read_range(path: Location, offset: int, size: int) -> bytes:
    """Returns bytes of a remote file, fewer than `size` where it ends.

    Raises:
      FileNotFoundError: there is none.
    """
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(os.fspath(path), "rb") as file:
            file.seek(offset)
            return bytes(file.read(size))
    except tf.errors.OutOfRangeError:  # the file ends before `offset`
        return b""
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(os.fspath(path)) from error


def fetch_file(source: Location, destination: Location) -> None:
    """Copies a remote file to a local one, replacing any there."""
    import tensorflow as tf

    tf.io.gfile.copy(os.fspath(source), os.fspath(destination), overwrite=True)


def write_file(path: Location, content: bytes) -> None:
    """Writes a file so that a reader sees all of it or none, and makes its folder.

    Raises:
      MtmoeError: the folder cannot be written or the disk is full.
    """
    if not is_remote(path):
        write_atomically(Path(path), content)
        return
    import tensorflow as tf

    with (
        _remote_temporary(path) as temporary,
        tf.io.gfile.GFile(temporary, "wb") as file,
    ):
        file.write(content)


def make_folder(path: Location) -> None:
    """Makes a local folder and those above it, if they are not there.

    Raises:
      MtmoeError: it cannot be made.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise MtmoeError(f"cannot make the folder {path}: {error}") from error


def move_file(source: Location, destination: Location) -> None:
    """Puts a finished local file at its place, local or remote, replacing any there.

    A local `source` must be in the folder of a local `destination`, so that a reader
    sees all of it or none.

    Raises:
      MtmoeError: the folder cannot be written.
    """
    if not is_remote(destination):
        try:
            os.replace(source, destination)
        except OSError as error:
            raise MtmoeError(f"cannot write {destination}: {error}") from error
        return
    import tensorflow as tf

    with _remote_temporary(destination) as temporary:
        tf.io.gfile.copy(os.fspath(source), temporary)
    os.unlink(source)


@contextlib.contextmanager
def _remote_temporary(path: Location) -> Iterator[str]:
    """Gives a name beside a remote file to write; then renames it to that file."""
    import tensorflow as tf

    path = os.fspath(path)
    temporary = f"{path}.{secrets.token_hex(8)}.tmp"
    try:
        tf.io.gfile.makedirs(os.path.dirname(path))
        yield temporary
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except tf.errors.OpError as error:
        with contextlib.suppress(tf.errors.OpError):
            tf.io.gfile.remove(temporary)
        raise MtmoeError(f"cannot write {path}: {error.message}") from error
