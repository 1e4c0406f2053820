import hashlib
import io
import itertools
import math
import sys
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from helpers import cover
from hypothesis import given
from hypothesis import strategies as st

from xpbptt.commands.base.errors import UserError
from xpbptt.commands.train import bar, baselines, memory, text
from xpbptt.commands.train.text import Corpus


def encode(sequence):
    return Corpus.encode("example", [sequence])


def decoded(corpus, ids):
    return "".join(corpus.vocabulary[i] for i in ids)


def test_characters_are_numbered_in_the_order_of_their_code_points():
    sequence = "hallo, 😀 ä" * 3
    corpus = encode(sequence)
    assert corpus.vocabulary == " ,ahloä😀"
    assert decoded(corpus, corpus.ids) == sequence


@cover(
    ("kinds", "piece"),
    [2, 255, 256, 257, 300, 65_535, 65_536, 65_537, 66_000],
    [1_000, 100_000, 7],
    strength=1,
)
def test_numbers_are_as_narrow_as_the_kinds_of_characters_let_them_be(kinds, piece, monkeypatch):
    monkeypatch.setattr("xpbptt.commands.train.encode.PIECE", 11_111)
    if piece == 7:
        kinds = min(kinds, 300)
    points = np.random.default_rng(kinds).permutation(np.arange(0x10000, 0x10000 + kinds))
    sequence = "".join(map(chr, np.concatenate([points[:200].repeat(5), points, points[::-1]])))
    parts = [sequence[start : start + piece] for start in range(0, len(sequence), piece)]
    corpus = Corpus.encode("example", ["", *parts, ""])
    width = 1 if kinds <= 256 else 2 if kinds <= 65_536 else 4
    assert corpus.ids.dtype.itemsize == width
    vocabulary, ids = np.unique(list(sequence), return_inverse=True)
    assert corpus.vocabulary == "".join(vocabulary)
    np.testing.assert_array_equal(corpus.ids, ids)
    assert corpus.digest == hashlib.sha256(sequence.encode()).hexdigest()


@given(st.integers(10, 3_000))
def test_the_last_tenth_is_held_out_and_every_character_of_it_has_one_before(size):
    sequence = "0123456789" * (size // 10) + "x" * (size % 10)
    corpus = encode(sequence)
    held_out = sequence[-(size // 10) :]
    assert decoded(corpus, corpus.held_out) == sequence[-len(held_out) - 1] + held_out
    assert len(corpus.train) + len(held_out) == size


def test_of_a_long_text_no_more_is_held_out_than_can_be_read_soon():
    corpus = encode("ab" * 700_000)
    assert len(corpus.held_out) - 1 == text.HELD_OUT_MOST
    assert len(corpus.train) == 1_400_000 - text.HELD_OUT_MOST


def test_streams_are_pieces_of_the_training_part_side_by_side():
    corpus = encode("".join(map(chr, range(97, 97 + 20))))  # 18 to train on
    streams = corpus.streams(4, 3)
    assert streams.shape == (4, 4)  # 4 pieces of 18 // 4 characters
    np.testing.assert_array_equal(streams[:, 1], [4, 5, 6, 7])
    with pytest.raises(UserError, match=r"too short.* 18 are to train on.* need 20;"):
        corpus.streams(4, 4)


def literal_bits(tail, probability):
    """The mean of -log2 p of each character given the one before, one by one."""
    bits = [-math.log2(probability(a, b)) for a, b in itertools.pairwise(tail)]
    return sum(bits) / len(bits)


@given(st.text(alphabet="abcdé", min_size=10, max_size=200), st.integers(1, 210))
def test_baselines_are_those_of_counting_by_hand(sequence, piece):
    corpus = encode(sequence)
    known, size = sequence[: corpus.cut], len(set(sequence))
    tail = sequence[corpus.cut - 1 :]
    single = Counter(known)
    pairs = Counter(itertools.pairwise(known))
    first = Counter(known[:-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xpbptt.commands.train.encode.PIECE", piece)
        unigram, bigram = baselines.unigram(corpus), baselines.bigram(corpus)
    assert unigram == pytest.approx(
        literal_bits(tail, lambda _, b: (single[b] + 1) / (len(known) + size))
    )
    assert bigram == pytest.approx(
        literal_bits(tail, lambda a, b: (pairs[a, b] + 1) / (first[a] + size))
    )


def test_the_default_text_is_python_s_documentation():
    corpus = text.load(None)
    assert corpus.name == "pydoc_data.topics"
    assert len(corpus) > 300_000
    assert "assert" in decoded(corpus, corpus.ids)
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
    assert decoded(corpus, corpus.ids) == "Grüße\nzweite Zeile\n"
    assert corpus.name == "mine.txt"
    assert corpus.digest == encode("Grüße\nzweite Zeile\n").digest
    assert corpus.digest != encode("Grüße\nzweite Zeile\nx").digest


@given(st.lists(st.sampled_from(["\ufeff", "\r", "\n", "a", "ß", "€", "😀"]), min_size=10))
def test_a_file_is_read_the_same_in_pieces_of_any_size(tmp_path_factory, characters):
    path = tmp_path_factory.mktemp("pieces") / "mine.txt"
    path.write_text("".join(characters), encoding="utf-8", newline="")
    whole = path.read_text(encoding="utf-8-sig")
    for piece in (1, 2, 3, 5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text, "PIECE", piece)
            assert "".join(text._read(str(path))) == whole


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        (b"0123456\xe4\xe4 und so weiter", 7, "invalid continuation byte"),
        ("€€€".encode() + b"\xff0123456789", 9, "invalid start byte"),
        ("01234567€".encode()[:-1], 8, "unexpected end of data"),
    ],
)
def test_of_what_is_not_utf_8_the_place_in_the_file_is_told(
    tmp_path, monkeypatch, mark, content, place, reason
):
    path = tmp_path / "mine.txt"
    path.write_bytes(mark + content)
    for piece in (1, 2, 3, 4, 100):
        monkeypatch.setattr(text, "PIECE", piece)
        match = rf"is not UTF-8 \({reason} at byte {len(mark) + place}\)"
        with pytest.raises(UserError, match=match):
            text.load(str(path))


def test_a_long_text_takes_few_bytes_a_character(tmp_path):
    path, size = tmp_path / "long.txt", 8_000_000
    path.write_text("".join(map(chr, range(160, 660))) * (size // 500), encoding="utf-8")
    tracemalloc.start()
    try:
        baselines.bigram(text.load(str(path)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * size


def test_a_text_that_will_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(3 * 10**12)  # a hole: it takes no room on the disk
    monkeypatch.setattr(text, "_decode", lambda *_: pytest.fail("it was read"))
    message = r"huge\.txt, a file of 3\.0 TB, needs 6\.0 TB of memory, but .* are available: take a"
    with pytest.raises(UserError, match=message):
        text.load(str(path))


@pytest.mark.parametrize(("there", "fits"), [(20_000, True), (19_999, False)])
def test_a_text_needs_two_bytes_for_each_of_its_file(tmp_path, monkeypatch, there, fits):
    path = tmp_path / "mine.txt"
    path.write_text("0123456789" * 1_000)
    monkeypatch.setattr(memory, "available", lambda: there)
    if fits:
        assert len(text.load(str(path))) == 10_000
        return
    with pytest.raises(UserError, match=r"needs 20\.0 kB of memory, but 20\.0 kB are available"):
        text.load(str(path))


def test_a_text_that_turns_out_to_need_more_than_there_is_is_refused(monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "check", lambda need, *_: asked.append(need))
    Corpus.encode("example", ["a" * 1_000, "".join(map(chr, range(256, 512))), "b" * 10])
    assert asked == [1_000]  # a byte more for each of the characters before
    monkeypatch.undo()
    monkeypatch.setattr(memory, "available", lambda: 999)
    with pytest.raises(UserError, match=r"example, of ever more kinds .* needs 1\.0 kB of memory"):
        Corpus.encode("example", ["a" * 1_000, "".join(map(chr, range(256, 512)))])


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_bar_shows_how_far_a_long_text_is_read(tmp_path, monkeypatch):
    path = tmp_path / "mine.txt"
    path.write_text("0123456789" * 1_000)
    shown = []
    for terminal, delay in [(Terminal(), 0.0), (Terminal(), 60.0), (io.StringIO(), 0.0)]:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(bar, "DELAY", delay)
        baselines.bigram(text.load(str(path)))
        shown.append(terminal.getvalue())
    assert "reading mine.txt:" in shown[0]
    assert "/10.0k" in shown[0]
    assert "counting pairs:" in shown[0]
    assert shown[0].endswith("\r")  # wiped
    assert shown[1:] == ["", ""]
    monkeypatch.setattr(sys, "stderr", None)  # as with 2>&-
    assert len(text.load(str(path))) == 10_000


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
