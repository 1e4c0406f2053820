"""The text: read, encoded as character numbers, and split into a training and a held-out part."""

import codecs
import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from xpbptt.commands.base.errors import UserError
from xpbptt.commands.train import memory
from xpbptt.commands.train.bar import bar
from xpbptt.commands.train.encode import Encoder

STDIN = "-"
DEFAULT_NAME = "pydoc_data.topics"
HELD_OUT_SHARE = 10  # the last tenth of the text is held out,
HELD_OUT_MOST = 100_000  # but never more than this many characters
PIECE = 1 << 20  # bytes that are read and decoded at once
MANY = 10**18  # what needs more characters than so many is told without the number
SHORTER = "take a shorter text"
BYTES = 2  # memory for each byte of a file: what a character takes among up to 65,536 kinds


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text, ready to train on."""

    name: str  # what the text is called in messages
    vocabulary: str  # the characters of the whole text, in the order of their code points
    # The number of each character in the vocabulary; uint8, uint16 or int32, whichever is the
    # narrowest that fits.
    ids: np.ndarray
    digest: str  # the SHA-256 of the text in UTF-8, to tell whether a text is the same

    @classmethod
    def encode(cls, name: str, pieces: Iterable[str]) -> Self:
        """Encode a text that comes in pieces.

        Raises UserError if there is not enough memory.
        """
        encoder = Encoder(
            lambda more: memory.check(more, f"{name}, of ever more kinds of characters,", SHORTER)
        )
        for piece in pieces:
            encoder.add(piece)
        return cls(name, *encoder.finish())

    def __len__(self) -> int:
        """Return the number of characters."""
        return len(self.ids)

    @property
    def cut(self) -> int:
        """The number of characters to train on; the others are held out."""
        return len(self) - min(len(self) // HELD_OUT_SHARE, HELD_OUT_MOST)

    @property
    def train(self) -> np.ndarray:
        """The character numbers to train on."""
        return self.ids[: self.cut]

    @property
    def held_out(self) -> np.ndarray:
        """The held-out character numbers, int32, after the one that predicts the first."""
        return self.ids[self.cut - 1 :].astype(np.int32)

    def streams(self, batch: int, chunk: int) -> np.ndarray:
        """Cut the training part into `batch` pieces that are read side by side.

        Raises UserError if the pieces would be too short.
        """
        length = len(self.train) // batch
        if length < chunk + 1:
            need = batch * (chunk + 1)
            figure = str(need) if need < MANY else "far more"
            message = (
                f"{self.name} is too short: of its {len(self)} characters {self.cut} are to "
                f"train on, but --batch {batch} pieces of --chunk {chunk} characters and the next "
                f"one need {figure}; take a longer text or smaller numbers"
            )
            raise UserError(message)
        return self.train[: length * batch].reshape(batch, length).T


def load(path: str | None) -> Corpus:
    """Read a text, or the one that is shipped with Python.

    Raises UserError if there is no such text, or it cannot be used.
    """
    corpus = _default() if path is None else Corpus.encode(_name(path), _read(path))
    if len(corpus) < HELD_OUT_SHARE:
        size = f"has only {len(corpus)} characters" if len(corpus) else "is empty"
        message = f"{corpus.name} {size}; take a longer text"
        raise UserError(message)
    return corpus


def _name(path: str) -> str:
    return "standard input" if path == STDIN else Path(path).name


def _default() -> Corpus:
    try:
        topics = import_module(DEFAULT_NAME).topics
    except ImportError as error:
        message = f"this Python comes without {DEFAULT_NAME}: give a text with --text FILE"
        raise UserError(message) from error
    return Corpus.encode(DEFAULT_NAME, ["\n".join(topics[name] for name in sorted(topics))])


def _read(path: str) -> Iterator[str]:
    """Yield the text of a file in pieces, without byte order mark and with plain line breaks."""
    try:
        with _opened(path) as file:
            status = os.fstat(file.fileno())
            size = status.st_size if stat.S_ISREG(status.st_mode) else None  # a pipe has no size
            if size is not None:
                what = f"--text {path}, a file of {memory.words(size)},"
                memory.check(BYTES * size, what, SHORTER)
            with bar(size, f"reading {_name(path)}", "B") as shown:
                yield from _decode(path, _chunks(file, shown))
    except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
        reason = getattr(error, "strerror", None) or error
        message = f"--text {path}: {reason}"
        raise UserError(message) from error


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    """Open a file, or standard input, which stays open."""
    if path != STDIN:
        return Path(path).open("rb")
    if sys.stdin is None:
        message = "--text -: standard input is closed"
        raise UserError(message)
    return nullcontext(sys.stdin.buffer)


def _chunks(file: BinaryIO, shown: Any) -> Iterator[bytes]:
    while chunk := file.read(PIECE):
        yield chunk
        shown.update(len(chunk))


def _decode(path: str, chunks: Iterable[bytes]) -> Iterator[str]:
    utf8 = codecs.getincrementaldecoder("utf-8-sig")()
    decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
    read = 0
    try:
        for chunk in chunks:
            read += len(chunk)
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        place = read - len(error.object) + error.start  # the object ends with the last byte read
        message = f"--text {path} is not UTF-8 ({error.reason} at byte {place}): convert it first"
        raise UserError(message) from error
