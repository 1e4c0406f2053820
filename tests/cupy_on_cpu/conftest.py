"""The tests of the simulator run where the simulator does: ``--backend cupy-on-cpu``."""

from importlib import import_module

import pytest

from cupy_on_cpu import counting as count_device
from cupy_on_cpu import installed
from xpbptt.bptt.engines import engine


def pytest_ignore_collect(config):
    """Leave the folder out where the simulator is not among the chosen libraries."""
    return None if "cupy-on-cpu" in (config.getoption("--backend") or ()) else True


@pytest.fixture(autouse=True, scope="session")
def simulator():
    """Mark every test of the folder as one that runs on the simulator."""
    assert installed()


@pytest.fixture
def forget():
    """Forget the plans of whole sequences, so that they are made again."""

    def call():
        engine._fastest.cache_clear()
        for kernel in import_module("xpbptt.kernels.find")._kernels.values():
            getattr(kernel.run, "_planned", {}).clear()

    return call


@pytest.fixture
def counting():
    """Count what the device is asked to do: ``with counting() as count:``."""
    return count_device
