"""Files, folders and sets of files that are written whole: a reader sees all or none.

`write_file` and `new_file` write one file, `new_folder` a folder of its own, and
`write_together` a set of files into a folder that has others. What is written has a
temporary name until it is complete and on the disk. Errors are `OSError`, except where
a function says what they mean; docs/design/ground.md says who uses which.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mtmoe.errors import MtmoeError

PENDING_NAME = ".renames.json"
"""Lists the files of a folder that are written and still have temporary names."""

_TEMPORARY = re.compile(r".+\.[0-9a-f]{16}\.tmp")


def write_file(path: Path, content: bytes | str, durable: bool = True) -> None:
    """Writes a file whole, and makes its folder.

    Args:
      path: the file; one that is there is replaced.
      content: text is written as UTF-8.
      durable: see `new_file`.

    Raises:
      OSError: it cannot be written, and what was there stays; the error names the file.
    """
    with naming(path), new_file(path, durable) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def new_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """Gives a path beside a file to write to; then that is the file.

    Nothing of it remains where writing fails. Its mode is what the umask allows.

    Args:
      path: the file; one that is there is replaced. Its folder is made.
      durable: whether to wait until the content is on the disk; if not, the file may
        be empty after a power cut.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            synchronize(temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_abandoned(directory: Path) -> None:
    """Removes what killed processes left of `new_file`; no other may write there."""
    for path in directory.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            path.unlink()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an `OSError` the file's name where the system's own error has none."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def synchronize(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Gives a folder beside a path to write to; then that is the folder.

    Nothing of it remains where writing fails. One writer at a time.

    Args:
      path: the folder; it is absent, or empty.
    """
    temporary = temporary_folder(path)
    try:
        make_temporary_folder(path)
        yield temporary
        for written in (temporary, *temporary.rglob("*")):
            synchronize(written)
        os.rename(temporary, path)
        synchronize(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_folder(path: Path) -> Path:
    """Returns where the content of a folder is written."""
    return path.with_name(path.name + ".tmp")


def make_temporary_folder(path: Path) -> None:
    """Makes the temporary folder of a folder; one of a killed process is removed."""
    temporary = temporary_folder(path)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir()
    synchronize(temporary.parent)


def put_in_place(path: Path) -> None:
    """Gives a finished temporary folder its name, in place of what may have it."""
    if path.exists():  # a damaged one, or one of a run that is being repeated
        remove_folder(path)
    os.rename(temporary_folder(path), path)
    synchronize(path.parent)


def remove_folder(path: Path) -> None:
    """Deletes a folder so that an interruption leaves no half of it in sight."""
    leaving = path.with_name(path.name + ".old.tmp")
    if leaving.exists():
        shutil.rmtree(leaving)
    os.rename(path, leaving)
    shutil.rmtree(leaving)


def write_together(directory: Path, files: Mapping[str, str]) -> None:
    """Writes text files into a folder: all of them, or none.

    They are written under temporary names; then a list of them is put in place, which
    decides. A process that is killed behind that point has the rest done by whoever
    writes or reads the folder next.

    Args:
      directory: made when absent; other files in it stay.
      files: content by file name.

    Raises:
      MtmoeError: the folder cannot be written; no file of it was touched.
    """
    created = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        finish_writing(directory)
        _check_places(directory, files)
        for name, content in {**files, PENDING_NAME: json.dumps(list(files))}.items():
            temporary = _temporary(directory, name)
            temporary.write_bytes(content.encode())
            synchronize(temporary)
        os.replace(_temporary(directory, PENDING_NAME), directory / PENDING_NAME)
    except OSError as error:
        for name in (*files, PENDING_NAME):
            with contextlib.suppress(OSError):
                _temporary(directory, name).unlink()
        if created:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise MtmoeError(
            f"cannot write {error.filename or directory}: {error.strerror}; "
            "nothing was changed"
        ) from error
    finish_writing(directory)


def finish_writing(directory: Path) -> None:
    """Gives the files their names that a killed process had written but not renamed.

    Args:
      directory: a folder that `write_together` writes to; it may be absent.

    Raises:
      MtmoeError: it cannot be written.
    """
    pending = directory / PENDING_NAME
    try:
        names = json.loads(pending.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # it has its name already
                os.replace(_temporary(directory, name), directory / name)
        pending.unlink(missing_ok=True)
    except OSError as error:
        raise MtmoeError(
            f"{directory} holds files that are written but have no names yet, and "
            f"cannot be given them ({error.filename}: {error.strerror}); make the "
            "folder writable and run the command again"
        ) from error


def _temporary(directory: Path, name: str) -> Path:
    return directory / f".{name}.tmp"


def _check_places(directory: Path, names: Iterable[str]) -> None:
    """Raises IsADirectoryError where a file cannot take its name."""
    for name in names:
        if (directory / name).is_dir():
            raise IsADirectoryError(
                errno.EISDIR, "there is a folder of that name", str(directory / name)
            )
