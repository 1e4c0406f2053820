"""What a model has to beat: the frequencies of characters and of pairs of characters."""

import numpy as np

from xpbptt.commands.train.bar import bar
from xpbptt.commands.train.encode import pieces
from xpbptt.commands.train.text import Corpus


def unigram(corpus: Corpus) -> float:
    """Return the held-out bits per character of the training part's character frequencies.

    Notes
    -----
    With add-one smoothing, p(b) = (n(b) + 1) / (N + V) for a vocabulary of V characters.

    Examples
    --------
    >>> from xpbptt.commands.train.text import Corpus
    >>> unigram(Corpus.encode("example", ["ab" * 50]))
    1.0
    """
    size = len(corpus.vocabulary)
    counts = _counts(corpus.train, size)
    probabilities = (counts + 1) / (len(corpus.train) + size)
    return float(-np.mean(np.log2(probabilities[corpus.held_out[1:]])))


def bigram(corpus: Corpus) -> float:
    """Return the held-out bits per character when each is predicted from the one before it.

    Notes
    -----
    With add-one smoothing, p(b | a) = (n(a b) + 1) / (n(a) + V) for a vocabulary of V characters.

    Examples
    --------
    >>> from xpbptt.commands.train.text import Corpus
    >>> round(bigram(Corpus.encode("example", ["ab" * 50])), 3)
    0.031
    """
    size = len(corpus.vocabulary)
    held_out = _pairs(corpus.held_out, size)
    asked = np.unique(held_out)  # all that has to be counted
    counts = np.zeros(len(asked), np.int64)
    with bar(len(corpus.train), "counting pairs", "") as shown:
        for piece in pieces(corpus.train, overlap=1):
            pairs, times = np.unique(_pairs(piece, size), return_counts=True)
            found = np.minimum(np.searchsorted(asked, pairs), len(asked) - 1)
            same = asked[found] == pairs
            counts[found[same]] += times[same]
            shown.update(len(piece))
    seen = counts[np.searchsorted(asked, held_out)]
    before = _counts(corpus.train[:-1], size)[corpus.held_out[:-1]]
    return float(-np.mean(np.log2((seen + 1) / (before + size))))


def _pairs(ids: np.ndarray, size: int) -> np.ndarray:
    """Return one number for each pair of neighbours, without a table of all possible pairs."""
    pairs: np.ndarray = ids[:-1].astype(np.int64) * size + ids[1:]
    return pairs


def _counts(ids: np.ndarray, size: int) -> np.ndarray:
    """Return how often each of `size` numbers is in `ids`."""
    counts = np.zeros(size, np.int64)
    for piece in pieces(ids):
        counts += np.bincount(piece, minlength=size)
    return counts
