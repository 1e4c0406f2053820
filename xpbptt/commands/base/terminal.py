"""What is printed: nothing that a terminal would obey, and no run is lost with its output."""

import os
from typing import Any, TextIO

MESSAGE_MOST = 1000  # characters of an error message, whatever it quotes
_ALLOWED = "\n\t"


def plain(text: str) -> str:
    r"""Return the text with every character that cannot be seen escaped as in a Python string.

    Examples
    --------
    >>> print(plain("a name, \x1b[2J, ä"))
    a name, \x1b[2J, ä
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def one_line(message: object) -> str:
    """Return a message as one line of at most about `MESSAGE_MOST` characters, all of them seen."""
    # Cut first, so that a long text takes no time, and again because escapes are longer.
    return _cut(plain(" ".join(_cut(str(message)).split())))


def shown(letter: str) -> str:
    """Return a character of a sample; a control character, but for line break and tab, escaped."""
    code = ord(letter)
    control = code < 0x20 or 0x7F <= code < 0xA0  # noqa: PLR2004 - C0, and from DEL to the end of C1
    return _escaped(letter) if control and letter not in _ALLOWED else letter


def _cut(text: str) -> str:
    half = MESSAGE_MOST // 2
    return text if len(text) <= MESSAGE_MOST else f"{text[:half]} ... {text[-half:]}"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


class Lossy:
    """A text stream that fails without a word: after the first error it writes nothing any more.

    Parameters
    ----------
    stream : text stream or None
        Where to write; None, as `sys.stdout` is where it was closed from the start, for nowhere.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lost = stream is None

    def write(self, text: str) -> int:
        """Write, if that still works."""
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that still works."""
        self._try("flush")

    def isatty(self) -> bool:
        """Tell whether this is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, method: str, *arguments: str) -> None:
        if self._lost or self._stream is None:
            return
        try:
            getattr(self._stream, method)(*arguments)
        except OSError:  # a closed pipe, a full disk, a terminal that is gone
            self._lost = True
            silence(self._stream)


def silence(stream: TextIO) -> None:
    """Send what a broken stream still holds, and all that follows, to nowhere.

    Without it Python would try once more when it exits, and complain.
    """
    try:
        number = stream.fileno()
    except OSError:  # it has no file
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
