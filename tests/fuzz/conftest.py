"""The fuzz compares compiled runs with eager ones; without Numba there are none."""

import pytest


@pytest.fixture(autouse=True)
def compiled():
    pytest.importorskip("numba", reason="nothing is compiled without numba")
