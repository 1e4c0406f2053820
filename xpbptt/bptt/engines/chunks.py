"""Chunks: steps that are run at once, so few that what they make stays in the cache."""

from xpbptt._arrays.types import Tree

CHUNK = 32  # steps that are run at once where memory counts
ROWS = 1024  # of a product of matrices that make it worth its while
ELEMENTS = 2**18  # of states that stay in the cache with what else their steps make


def longest(batch: int, width: int, elements: int) -> int:
    """Return of how many steps, at least one, a buffer holds about so many elements.

    Parameters
    ----------
    batch : int
        The number of sequences B.
    width : int
        The elements of a step of one sequence in the buffer.
    elements : int
        The most elements; more where the products would have fewer than `ROWS` rows.
    """
    return max(1, max(ROWS, elements // width) // max(1, batch))


def inference(steps: int, batch: int, state: Tree, parts: int | None) -> int:
    """Return the most steps of a chunk where nothing is kept; there are at most `parts` chunks."""
    few = max(CHUNK, longest(batch, sum(part.shape[1] for part in state), ELEMENTS))
    return few if parts is None else max(few, -(-steps // parts))


def advancing(segment: int) -> int:
    """Return the most steps of a chunk of which only snapshots are kept.

    A segment of so many steps is kept later, with more for each step than a chunk makes.
    """
    return max(CHUNK, segment)


def chunks(steps: int, most: int) -> list[slice]:
    """Split so many steps into chunks of 1 to `most` steps, equally long or nearly so."""
    count = -(-steps // most) if steps else 0
    ends = [k * steps // count for k in range(1, count + 1)]
    return list(map(slice, [0, *ends], ends))


def doubled(steps: int, most: int) -> list[slice]:
    """Split so many steps into chunks of 1, 2, 4, … steps, at most `most`, the longest first."""
    ends = [0]
    while ends[-1] < steps:
        left = min(most, steps - ends[-1])
        ends.append(ends[-1] + 2 ** (left.bit_length() - 1))
    return list(map(slice, ends, ends[1:]))
