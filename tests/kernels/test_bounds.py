"""What compiled cells keep of the memory: bounded, however many cells are made."""

import subprocess
import sys

import pytest

from xpbptt.cells import LSTM, RNN_TANH
from xpbptt.kernels import find

State = RNN_TANH.state


def cell(number):
    """A cell made anew, with a number of its own."""

    def forward(u, v, state, *, xp):
        return State(xp.tanh(u.a + v.a + number)), ()

    return RNN_TANH._replace(name="made", forward=forward)


def ask(number, xp):
    dtype = xp.ones(1, dtype=xp.float32).dtype
    return find(cell(number), ("advance",), dtype, xp=xp)


def test_equal_cells_made_again_share_a_program(compiler, xp):
    first, second = ask(0.5, xp), ask(0.5, xp)
    assert first is not second
    assert first.kernels["advance"] is second.kernels["advance"]
    assert ask(-0.0, xp).kernels["advance"] is not ask(0.0, xp).kernels["advance"]


def test_many_different_cells_run_eagerly_from_some_on(compiler, xp, monkeypatch, caplog):
    finding = sys.modules[find.__module__]
    monkeypatch.setattr(finding, "MOST", len(finding._users) + 2)
    assert not isinstance(ask(0.101, xp), str)
    assert not isinstance(ask(0.102, xp), str)
    reason = ask(0.103, xp)
    assert "programs of such cells have been compiled" in reason
    assert f"made runs without the engine {compiler.loops[0].name}, slower: {reason}" in caplog.text
    assert not isinstance(ask(0.101, xp), str)  # those that are there stay
    dtype = xp.ones(1, dtype=xp.float32).dtype
    assert not isinstance(find(LSTM, ("advance",), dtype, xp=xp), str)


SCRIPT = """
import gc, logging, sys
import numpy as np
import xpbptt
from test_bounds import cell
from xpbptt.kernels import find
sys.modules[find.__module__].MOST = 4
logging.disable()

def use(number):
    net = xpbptt.Net(cell(number), 3, 5)
    y, _, cache = net.forward(net.init(0), np.ones((3, 2, 3), np.float32))
    net.backward(cache, y)

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

for number in range(8):
    use(number)
before = resident()
for number in range(1000):
    use(number + 0.5)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux for the memory")
@pytest.mark.usefixtures("compiler")
def test_a_thousand_cells_take_little_memory(request):
    here = request.path.parent
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(here)!r})\n{SCRIPT}"],
        capture_output=True,
        text=True,
        check=True,
    )
    # The programs beside these, at most `MOST`, take about a megabyte each.
    assert int(done.stdout) < 30e6
