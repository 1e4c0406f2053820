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
def test_a_plan_covers_everything_once_and_fits(card, back, batch, hidden):
    """All units, all sequences, all weights; no more blocks than multiprocessors."""
    device = model.CARDS[card]
    sizes = Sizes(4, hidden, batch, "float32", back=back)
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
        assert tile.tall * tile.rows_at_once >= down
        assert tile.depth >= across
        assert tile.sums % tile.lanes == 0
        assert 0 <= tile.spare <= tile.tall
        assert tile.kept * tile.wide * tile.group + tile.sums <= REGISTERS
        least = 16 * tile.spare * tile.wide * THREADS + 4 * tile.batch * (tile.depth + down)
        assert plan.shared == least
        assert tile.sums >= tile.tall * tile.batch
