"""The LSTM with projection: its output has fewer columns than its memory cell. Gates i f g o.

::

    i, f, o = σ(u + v) of each gate,  g = tanh(u_g + v_g)       (1)
    c' = f ∘ c + i ∘ g                                          (2)
    h' = W_hr (o ∘ tanh(c'))                                    (3)

with W_hr (P, H), which is the own parameter `weight_hr`, and W_hh (4·H, P). It is what
`torch.nn.LSTM` computes with ``proj_size=P``: the maths of the LSTM, whose first part of the state
is projected.

References
----------
.. [1] H. Sak, A. Senior and F. Beaufays, "Long short-term memory recurrent neural network
   architectures for large scale acoustic modeling", Interspeech 2014.
"""

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell
from xpbptt.cells.lstm import LSTM


@once
def make_lstmp(columns: int) -> Cell:
    """Return the cell with so many columns P; an equal one for an equal number."""
    return LSTM._replace(name="LSTMP", projection=columns)
