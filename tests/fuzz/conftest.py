"""The fuzz compares compiled runs with eager ones; without llvmlite there are none."""

import pytest


@pytest.fixture(autouse=True)
def compiled():
    pytest.importorskip("llvmlite", reason="nothing is compiled without llvmlite")
