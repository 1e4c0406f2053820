"""The programs of a cell's projection: its step forward after the product, its step back before it.

They go over the P columns of the output, as those of the cell go over its H units.
"""

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell
from xpbptt.kernels import places
from xpbptt.kernels.ahead import load, named_program, state_before, where
from xpbptt.kernels.form import Form
from xpbptt.kernels.places import DOUTPUT, DPROJECTED, MASK, PRODUCT, PROJECTED
from xpbptt.kernels.program import Program, Store
from xpbptt.kernels.symbols import Graph


@once
def ahead(cell: Cell, form: Form) -> Program:
    """Trace how the output is taken from the product: where the step is masked it is not."""
    graph = Graph()
    new = load(graph, PROJECTED.at())
    if form.masked:
        before, *_ = state_before(cell, graph, places.states(cell), form)
        new = where(graph, load(graph, MASK.at()), new, before)
    output, *_ = places.states(cell)
    stores = [Store(output.at(later=True), new.place)]
    return named_program(cell, "projection", graph, stores, form._replace(states=False))


@once
def back(cell: Cell, form: Form, *, direct: bool, watch: bool) -> Program:
    """Trace which gradient of the output the product takes, and which passes the step by.

    `direct` and `watch` are as for the programs of the cell's step back.
    """
    graph = Graph()
    past, *_ = places.gradients(cell)
    whole, dy = load(graph, PRODUCT.at()), load(graph, DOUTPUT.at())
    if direct:
        whole = whole + load(graph, past.at())
    if form.states:
        every, *_ = places.every(cell)
        whole = whole + load(graph, every.at())
    through, passing, arriving = whole + dy, graph.number(0), whole + dy
    if form.masked:  # where dy may be NaN
        keep = load(graph, MASK.at())
        through, passing = where(graph, keep, through, 0), where(graph, keep, 0, whole)
        arriving = whole + where(graph, keep, dy, 0)
    stores = [Store(DPROJECTED.at(), through.place)]
    if direct:
        stores.append(Store(past.at(), passing.place))
    if watch:
        arrival, *_ = places.arrivals(cell)
        stores.append(Store(arrival.at(), arriving.place))
    name = "projection_watch" if watch else "projection_back"
    return named_program(cell, name, graph, stores, form)
