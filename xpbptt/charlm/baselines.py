"""What a model has to beat: the frequencies of characters and of pairs of characters."""

import numpy as np

from xpbptt.charlm.text import Corpus


def unigram(corpus: Corpus) -> float:
    """Return the held-out bits per character of the training part's character frequencies.

    Notes
    -----
    With add-one smoothing, p(b) = (n(b) + 1) / (N + V) for a vocabulary of V characters.

    Examples
    --------
    >>> from xpbptt.charlm.text import Corpus
    >>> unigram(Corpus("example", "ab" * 50))
    1.0
    """
    size = len(corpus.vocabulary)
    counts = np.bincount(corpus.train, minlength=size)
    probabilities = (counts + 1) / (len(corpus.train) + size)
    return float(-np.mean(np.log2(probabilities[corpus.held_out[1:]])))


def bigram(corpus: Corpus) -> float:
    """Return the held-out bits per character when each is predicted from the one before it.

    Notes
    -----
    With add-one smoothing, p(b | a) = (n(a b) + 1) / (n(a) + V) for a vocabulary of V characters.

    Examples
    --------
    >>> from xpbptt.charlm.text import Corpus
    >>> round(bigram(Corpus("example", "ab" * 50)), 3)
    0.031
    """
    size = len(corpus.vocabulary)
    pairs, counts = np.unique(_pairs(corpus.train, size), return_counts=True)
    asked = _pairs(corpus.held_out, size)
    found = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
    seen = np.where(pairs[found] == asked, counts[found], 0)
    before = np.bincount(corpus.train[:-1], minlength=size)[corpus.held_out[:-1]]
    return float(-np.mean(np.log2((seen + 1) / (before + size))))


def _pairs(ids: np.ndarray, size: int) -> np.ndarray:
    """Return one number for each pair of neighbours, without a table of all possible pairs."""
    pairs: np.ndarray = ids[:-1].astype(np.int64) * size + ids[1:]
    return pairs
