"""What a terminal of a given size shows while training, in a real pty."""

import fcntl
import os
import pty
import re
import struct
import termios

import pytest

from xpbptt.commands.train.display import Display
from xpbptt.commands.train.loop import Budget, Report

BASELINES = "bigram 3.38, unigram 4.57"
STALE = Report(step=340, steps=120, seconds=12.0, train=2.91, held_out=4.41, held_out_is_new=True)


class Screen:
    """A terminal that knows what is drawn with here; text that is too long goes on below."""

    def __init__(self):
        self.master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w")
        self.rows, self.row, self.column, self.width = {}, 0, 0, 0

    def resize(self, columns):
        fcntl.ioctl(self.stream, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.width = columns
        self.rows = {row: text[:columns] for row, text in self.rows.items()}
        self.column = min(self.column, columns - 1)

    def lines(self):
        """Read what was written, and return what can be seen."""
        self.stream.flush()
        os.set_blocking(self.master, False)
        text = b""
        try:
            while True:
                text += os.read(self.master, 4096)
        except BlockingIOError:
            pass
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", text.decode(), re.DOTALL):
            self._put(part)
        return [self.rows[row].rstrip() for row in sorted(self.rows) if self.rows[row].strip()]

    def _put(self, part):
        if part == "\r":
            self.column = 0
        elif part == "\n":
            self.row, self.column = self.row + 1, 0
        elif part == "\x1b[K":
            self.rows[self.row] = self.rows.get(self.row, "")[: self.column]
        elif part == "\x1b[A":
            self.row -= 1
        else:
            assert part.isprintable(), repr(part)
            if self.column == self.width:
                self.row, self.column = self.row + 1, 0
            line = self.rows.get(self.row, "").ljust(self.column)
            self.rows[self.row] = line[: self.column] + part + line[self.column + 1 :]
            self.column += 1


@pytest.fixture
def screen():
    made = Screen()
    yield made
    made.stream.close()
    os.close(made.master)


@pytest.mark.parametrize(
    ("columns", "there", "missing"),
    [
        (40, ["12/45 s |", "held out 4.41"], ["bigram"]),
        (80, ["12/45 s |", "held out 4.41", "train 2.91", "0:33 left", "10 steps/s"], ["bigram"]),
        (120, ["held out 4.41", "train 2.91", "0:33 left", "10 steps/s", BASELINES], []),
    ],
)
def test_the_important_numbers_and_a_bar_fit_on_one_line(screen, columns, there, missing):
    screen.resize(columns)
    with Display(screen.stream, Budget(None, 45.0), BASELINES) as display:
        display.show(STALE)
        (line,) = screen.lines()
        assert len(line) < columns
        assert all(each in line for each in there), line
        assert not any(each in line for each in missing), line
        assert len(line[line.index("|") + 1 : line.rindex("|")]) >= 6


def test_time_left_follows_from_the_steps(screen):
    screen.resize(80)
    with Display(screen.stream, Budget(3720, None), BASELINES) as display:
        display.show(STALE)
        (line,) = screen.lines()
    assert line.startswith("120/3720 steps |")
    assert "6:00 left" in line


def test_nothing_is_left_of_the_bar_when_the_terminal_is_resized(screen):
    screen.resize(100)
    with Display(screen.stream, Budget(300, None), BASELINES) as display:
        for columns in (100, 40, 80, 30, 120):
            screen.resize(columns)
            display.show(STALE)
            (line,) = screen.lines()
            assert len(line) < columns


def test_the_last_line_has_the_number_of_the_finished_model(screen):
    screen.resize(80)
    with Display(screen.stream, Budget(120, None), BASELINES) as display:
        display.show(STALE)
        display.end(3.11)
    (line,) = screen.lines()
    assert "held out 3.11" in line
    assert "4.41" not in line


def test_a_signal_is_acknowledged_on_a_line_of_its_own(screen):
    screen.resize(80)
    with Display(screen.stream, Budget(120, None), BASELINES) as display:
        display.show(STALE)
        display.acknowledge(2)
        display.show(STALE)
        above, bar = screen.lines()
    assert above.startswith("stopping: ")
    assert bar.startswith("120/120 steps |")
