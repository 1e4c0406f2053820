"""The kernels of whole sequences, compiled by NVRTC for real GPUs: they fit, and all at once."""

import re
from importlib import import_module
from typing import NamedTuple

import pytest
from cupy._core import core
from helpers import cover

from cupy_on_cpu import ARCHITECTURES, Kernel
from cupy_on_cpu.cubins import blocks, headers, instructions, resources
from cupy_on_cpu.nvrtc import kept_cubin
from xpbptt.kernels import programs
from xpbptt.kernels.cuda import free, group, nodes
from xpbptt.kernels.cuda.plan import Device, Sizes, distinct, plans
from xpbptt.kernels.cuda.sequence import TRIES
from xpbptt.kernels.cuda.tile import THREADS
from xpbptt.kernels.form import Form

CELLS = import_module("kernels.conftest").CELLS
SPILLS = re.compile(r"\b(LDL|STL)\b")


class Card(NamedTuple):
    device: Device
    shared_of_processor: int


CARDS = {  # A100, H100, B200
    80: Card(Device(108, 166912, (8, 0), 1.41, cooperative=True), 167936),
    90: Card(Device(132, 232448, (9, 0), 1.755, cooperative=True), 233472),
    100: Card(Device(148, 232448, (10, 0), 1.85, cooperative=True), 233472),
}


def compiled(source, arch):
    options = "-std=c++14", f"-I{core._get_header_dir_path()}", f"-I{headers()}"
    return kept_cubin(Kernel(source, options, ()), arch)


@pytest.mark.parametrize("kind", ["record", "back"])
@cover(
    ("cell", "hidden", "batch", "dtype", "arch", "directions", "form"),
    ("lstm", "gru", "mgu"),
    (64, 128, 250, 512),
    (1, 100),
    ("float16", "float32", "float64"),
    ARCHITECTURES,
    (1, 2),
    (Form(), Form(resets=True), Form(masked=True, resets=True, drops=True)),
)
def test_one_of_the_fastest_plans_fits_the_device(
    kind, cell, hidden, batch, dtype, arch, directions, form
):
    fits(kind, cell, hidden, batch, dtype, arch, directions, form)


@pytest.mark.parametrize("kind", ["record", "back"])
@cover(
    ("cell", "hidden", "batch", "arch"), ("lstm", "gru"), (768, 1021), (1, 16, 64), ARCHITECTURES
)
def test_so_do_those_of_large_layers_in_float16(kind, cell, hidden, batch, arch):
    fits(kind, cell, hidden, batch, "float16", arch, directions=1, form=Form())


def fits(kind, cell, hidden, batch, dtype, arch, directions, form):
    """No spills; all blocks of the grid are there at once; a barrier that releases and acquires."""
    task = programs.task(CELLS[cell], kind, form)
    card = CARDS[arch]
    # At H = 128 a part of the weights of a block is in shared memory.
    sizes = Sizes(task.recurrent, hidden, batch, dtype, back=kind == "back")
    found = plans(card.device.share(directions), sizes)
    for plan in distinct(found)[:TRIES]:
        cubin = compiled(group.source(task, dtype, plan.tile, directions), arch)
        registers, *spilled = resources(cubin)
        if not any(spilled):
            break
    assert not any(spilled)
    at_once = blocks(
        arch, card.shared_of_processor, card.device.shared, registers, THREADS, plan.shared
    )
    assert at_once >= 1
    assert directions * plan.blocks * plan.groups <= at_once * card.device.processors
    text = instructions(cubin)
    assert not SPILLS.search(text)
    assert re.search(r"\bRED\S*\.STRONG\.GPU", text)
    assert re.search(r"\bLD\S*\.STRONG\.GPU", text)
    assert "MEMBAR" in text
    assert "CCTL.IVALL" in text  # what lies in the cache of the multiprocessor is forgotten
    assert ("HMMA.16816.F32" in text) == (dtype == "float16")
    assert not re.search(r"\bATOM|\bREDG?\.E\.ADD\.F", text)  # no sum depends on who is first


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["record", "back"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_kernel_without_the_product_fits(kind, dtype, arch, directions):
    task = programs.task(CELLS["free"], kind, Form(masked=True, resets=True))
    registers, stack, local = resources(compiled(free.source(task, dtype, directions), arch))
    assert (stack, local) == (0, 0)
    assert 2 * free.THREADS * registers <= 65536  # a multiprocessor holds two blocks at least


@cover(
    ("cell", "kind", "dtype", "masked", "arch"),
    ("lstm", "gru", "own", "free", "norm"),
    ("record", "advance", "back", "watch"),
    ("float16", "float32", "float64"),
    (False, True),
    ARCHITECTURES,
)
def test_the_kernels_of_a_graph_are_built_and_nothing_spills(cell, kind, dtype, masked, arch):
    task = programs.task(CELLS[cell], kind, Form(masked=masked))
    found = instructions(compiled(nodes.source(task, dtype, "steps"), arch))
    assert not SPILLS.search(found)
    assert all(f"steps_{end}" in found for end in (nodes.NODE, nodes.BEGIN, nodes.ADVANCE))
