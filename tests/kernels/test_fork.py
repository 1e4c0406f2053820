"""A `fork` while another thread holds a lock that the child will want."""

import os
import subprocess
import sys

import pytest

# The lock is held by a thread when the main one forks. The child uses a new cell, which compiles.
SCRIPT = """
import os, threading, time
import numpy as np
import xpbptt

def use(cell):
    net = xpbptt.Net(cell, 3, 5)
    net.infer(net.init(0), np.ones((4, 2, 3), dtype=np.float32))

use(xpbptt.cells.RNN_TANH)
from xpbptt._arrays.once import LOCK

taken = threading.Event()

def hold():
    with LOCK:
        taken.set()
        time.sleep(0.3)

thread = threading.Thread(target=hold)
thread.start()
taken.wait()
child = os.fork()
use(xpbptt.cells.RNN_TANH._replace(name="in both"))
if child == 0:
    os._exit(7)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.usefixtures("compiler")
def test_a_child_does_not_find_a_lock_that_nobody_will_release():
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            output, _ = parent.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(parent.pid, 9)  # the child, which hangs, too
            raise
    assert output.split() == [b"7"]
