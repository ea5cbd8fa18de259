"""Outputs that appear whole or not at all, and what tells their contents apart."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the place of `target` when the block succeeds.

    If the block raises (a full disk, Ctrl-C), what it wrote is removed and the previous `target`
    stays. What a killed process left behind is cleared by the next call.

    Args:
        target: directory to create or replace; its parent is created when missing.
    """
    aside = _beside(target, "partial")
    _remove(aside)
    aside.mkdir(parents=True)
    try:
        yield aside
    except BaseException:
        _remove(aside)
        raise
    _put_in_place(aside, target)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; what is written there becomes `target` on success."""
    aside = _beside(target, "partial")
    _remove(aside)
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        with aside.open("rb+") as written:
            os.fsync(written.fileno())
    except BaseException:
        _remove(aside)
        raise
    aside.replace(target)


def digest(path: Path) -> str:
    """Return what tells a file's content from any other's: BLAKE2b, 32 hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _put_in_place(aside: Path, target: Path) -> None:
    if not target.exists():
        aside.rename(target)
        return
    previous = _beside(target, "previous")
    _remove(previous)
    target.rename(previous)
    aside.rename(target)
    _remove(previous)


def _beside(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{role}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
