"""The text: read, encoded as character numbers, and split into a training and a held-out part."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import numpy as np

from xpbptt.charlm.errors import UserError

DEFAULT_NAME = "pydoc_data.topics"
HELD_OUT_SHARE = 10  # the last tenth of the text is held out,
HELD_OUT_MOST = 100_000  # but never more than this many characters


@dataclass(frozen=True)
class Corpus:
    """A text, ready to train on.

    Parameters
    ----------
    name : str
        What the text is called in messages.
    text : str
        The text itself.
    """

    name: str
    text: str

    @cached_property
    def _encoded(self) -> tuple[np.ndarray, np.ndarray]:
        points = np.frombuffer(self.text.encode("utf-32-le"), dtype="<u4")
        return np.unique(points, return_inverse=True)

    @cached_property
    def vocabulary(self) -> str:
        """The characters of the whole text, in the order of their code points."""
        return "".join(map(chr, self._encoded[0]))

    @cached_property
    def ids(self) -> np.ndarray:
        """The number of each character in the vocabulary, (N,), int32."""
        return self._encoded[1].astype(np.int32)

    @property
    def cut(self) -> int:
        """The number of characters to train on; the others are held out."""
        return len(self.text) - min(len(self.text) // HELD_OUT_SHARE, HELD_OUT_MOST)

    @property
    def train(self) -> np.ndarray:
        """The character numbers to train on."""
        return self.ids[: self.cut]

    @property
    def held_out(self) -> np.ndarray:
        """The held-out character numbers, after the one character that predicts the first."""
        return self.ids[self.cut - 1 :]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the text in UTF-8, to tell whether a text is the same."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    def streams(self, batch: int, chunk: int) -> np.ndarray:
        """Cut the training part into `batch` pieces that are read side by side.

        Parameters
        ----------
        batch : int
            The number of pieces B.
        chunk : int
            The number of steps T that a piece must have room for.

        Returns
        -------
        streams : array (L, B)
            One piece a column; the few last characters that fill no row are left out.

        Raises
        ------
        UserError
            If the pieces would be too short.
        """
        length = len(self.train) // batch
        if length < chunk + 1:
            message = (
                f"{self.name} is too short: of its {len(self.text)} characters {self.cut} are to "
                f"train on, but --batch {batch} pieces of --chunk {chunk} characters and the next "
                f"one need {batch * (chunk + 1)}; take a longer text or smaller numbers"
            )
            raise UserError(message)
        return self.train[: length * batch].reshape(batch, length).T


def load(path: str | None) -> Corpus:
    """Read a text, or the one that is shipped with Python.

    Parameters
    ----------
    path : str or None
        A file in UTF-8; None for the documentation in ``pydoc_data.topics``.

    Returns
    -------
    corpus : Corpus
        The text.

    Raises
    ------
    UserError
        If there is no such text, or it cannot be used.
    """
    corpus = _default() if path is None else Corpus(Path(path).name, _read(path))
    if len(corpus.text) < HELD_OUT_SHARE:
        size = f"has only {len(corpus.text)} characters" if corpus.text else "is empty"
        message = f"{corpus.name} {size}; take a longer text"
        raise UserError(message)
    return corpus


def _default() -> Corpus:
    try:
        topics = import_module(DEFAULT_NAME).topics
    except ImportError as error:
        message = f"this Python comes without {DEFAULT_NAME}: give a text with --text FILE"
        raise UserError(message) from error
    return Corpus(DEFAULT_NAME, "\n".join(topics[name] for name in sorted(topics)))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = (
            f"--text {path} is not UTF-8 ({error.reason} at byte {error.start}): convert it first"
        )
        raise UserError(message) from error
    except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
        reason = getattr(error, "strerror", None) or error
        message = f"--text {path}: {reason}"
        raise UserError(message) from error
