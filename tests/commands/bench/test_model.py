"""The model of a step on a GPU, as it is printed and as it stands in the documents."""

from pathlib import Path

import pytest

from xpbptt.commands.bench import model
from xpbptt.commands.main import main
from xpbptt.kernels.cuda.plan import REGISTERS, Sizes, plans
from xpbptt.kernels.cuda.tile import THREADS

ROOT = Path(__file__).parents[3]


def test_the_command_prints_what_the_documents_show(capsys):
    assert main(["bench", "--model"]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("A model, not a measurement: no GPU has run these kernels.")
    assert f"```\n{out}```" in (ROOT / "docs" / "gpu.md").read_text("utf8")


@pytest.mark.parametrize("card", model.CARDS)
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(("batch", "hidden"), [(1, 1), (3, 37), (16, 128), (64, 256), (500, 200)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_plan_covers_everything_once_and_fits(dtype, card, back, batch, hidden):
    """All units, all sequences, all weights; no more blocks than multiprocessors."""
    device = model.CARDS[card]
    sizes = Sizes(4, hidden, batch, dtype, back=back)
    found = plans(device, sizes)
    assert found == sorted(found, key=lambda plan: plan.microseconds)
    for plan in found:
        units = -(-hidden // plan.blocks)
        assert (plan.blocks - 1) * units < hidden <= plan.blocks * units
        assert (plan.groups - 1) * plan.rows < batch <= plan.groups * plan.rows
        assert plan.blocks * plan.groups <= device.processors
        assert plan.shared <= device.shared
        tile = plan.tile
        assert units * tile.batch <= THREADS
        down, across = (hidden, 4 * units) if back else (4 * units, hidden)
        assert 0 <= tile.spare <= tile.tall
        assert tile.registers <= REGISTERS
        holds = holds_in_registers if dtype == "float32" else holds_as_fragments
        assert plan.shared == 16 * tile.spare * tile.wide * THREADS + holds(tile, down, across)


def holds_in_registers(tile, down, across):
    """Return the bytes of what is multiplied and of the sums."""
    assert tile.tall * tile.rows_at_once >= down
    assert tile.depth >= across
    assert tile.sums % tile.lanes == 0
    assert tile.sums >= tile.tall * tile.batch
    assert tile.kept * tile.wide * tile.group + tile.sums == tile.registers
    return 4 * tile.batch * (tile.depth + down)


def holds_as_fragments(tile, down, across):
    """The same: eight warps hold fragments of 16 by 16, `split` of them share the columns."""
    fragments, beside = 16, 8 // tile.split
    assert tile.tall * beside * fragments == tile.height >= down
    assert tile.wide * tile.split * fragments + 8 == tile.depth >= across + 8
    assert 4 * tile.kept * tile.wide + 4 * tile.tall == tile.registers
    return 2 * tile.batch * tile.depth + 4 * tile.split * tile.batch * (tile.height + 4)
