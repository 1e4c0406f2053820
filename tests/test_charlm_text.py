import itertools
import math
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpbptt.charlm import baselines, text
from xpbptt.charlm.errors import UserError
from xpbptt.charlm.text import Corpus


def test_characters_are_numbered_in_the_order_of_their_code_points():
    corpus = Corpus("example", "hallo, 😀 ä" * 3)
    assert corpus.vocabulary == " ,ahloä😀"
    assert "".join(corpus.vocabulary[i] for i in corpus.ids) == corpus.text
    assert corpus.ids.dtype == np.int32


@given(st.integers(10, 3_000))
def test_the_last_tenth_is_held_out_and_every_character_of_it_has_one_before(size):
    corpus = Corpus("example", "0123456789" * (size // 10) + "x" * (size % 10))
    held_out = corpus.text[-(len(corpus.text) // 10) :]
    decoded = "".join(corpus.vocabulary[i] for i in corpus.held_out)
    assert decoded[1:] == held_out
    assert decoded[0] == corpus.text[-len(held_out) - 1]
    assert len(corpus.train) + len(held_out) == size


def test_of_a_long_text_no_more_is_held_out_than_can_be_read_soon():
    corpus = Corpus("example", "ab" * 700_000)
    assert len(corpus.held_out) - 1 == text.HELD_OUT_MOST
    assert len(corpus.train) == 1_400_000 - text.HELD_OUT_MOST


def test_streams_are_pieces_of_the_training_part_side_by_side():
    corpus = Corpus("example", "".join(map(chr, range(97, 97 + 20))))  # 18 to train on
    streams = corpus.streams(4, 3)
    assert streams.shape == (4, 4)  # 4 pieces of 18 // 4 characters
    np.testing.assert_array_equal(streams[:, 1], [4, 5, 6, 7])
    with pytest.raises(UserError, match=r"too short.* 18 are to train on.* need 20;"):
        corpus.streams(4, 4)


def literal_bits(corpus, probability):
    """The mean of -log2 p of each held-out character given the one before, one by one."""
    tail = corpus.text[corpus.cut - 1 :]
    bits = [-math.log2(probability(a, b)) for a, b in itertools.pairwise(tail)]
    return sum(bits) / len(bits)


@given(st.text(alphabet="abcdé", min_size=10, max_size=200))
def test_baselines_are_those_of_counting_by_hand(sequence):
    corpus = Corpus("example", sequence)
    known, size = sequence[: corpus.cut], len(set(sequence))
    single = Counter(known)
    pairs = Counter(itertools.pairwise(known))
    first = Counter(known[:-1])
    assert baselines.unigram(corpus) == pytest.approx(
        literal_bits(corpus, lambda _, b: (single[b] + 1) / (len(known) + size))
    )
    assert baselines.bigram(corpus) == pytest.approx(
        literal_bits(corpus, lambda a, b: (pairs[a, b] + 1) / (first[a] + size))
    )


def test_the_default_text_is_python_s_documentation():
    corpus = text.load(None)
    assert corpus.name == "pydoc_data.topics"
    assert len(corpus.text) > 300_000
    assert "assert" in corpus.text
    assert baselines.bigram(corpus) < baselines.unigram(corpus) - 1
    assert corpus.digest == text.load(None).digest


def test_a_python_without_its_documentation_is_told_of_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(UserError, match="--text FILE"):
        text.load(None)


def test_a_file_is_read_as_text_without_its_mark_and_with_plain_line_breaks(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes("\ufeffGrüße\r\nzweite Zeile\n".encode())
    corpus = text.load(str(path))
    assert corpus.text == "Grüße\nzweite Zeile\n"
    assert corpus.name == "mine.txt"
    assert corpus.digest != text.Corpus("mine.txt", corpus.text + "x").digest


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "bad.txt is empty"),
        (b"short", "bad.txt has only 5 characters"),
        (b"Gr\xfc\xdfe aus dem Westen", "not UTF-8.*at byte 2"),
        (None, "No such file"),
        (..., "Is a directory"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content, match):
    path = tmp_path / "bad.txt"
    if content is ...:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=match):
        text.load(str(path))


def test_a_path_that_cannot_be_one_is_refused():
    with pytest.raises(UserError, match="null"):
        text.load("a\0b")
