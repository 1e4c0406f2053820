"""What makes the pages: equations from a cell's source, the public names, the dead links."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import xpbptt
from xpbptt import cells
from xpbptt.cells import sigmoid

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def extension(monkeypatch):
    """Return a function that imports one of the documentation's own modules."""
    monkeypatch.syspath_prepend(str(DOCS / "_extensions"))

    def load(name):
        return __import__(name)

    yield load
    for path in (DOCS / "_extensions").glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def equations(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_extensions"))
    yield __import__("equations")
    sys.modules.pop("equations", None)


def plain(lines):
    """Return equations without what only sets them."""
    marks = {r"\mathrm{d}": "d", r" \odot ": "*", "&= ": "= ", r"\sigma": "s", r"\tanh": "tanh"}
    for mark, short in marks.items():
        lines = [line.replace(mark, short) for line in lines]
    return [line.replace("{t-1}", "0").replace("{", "").replace("}", "") for line in lines]


def test_the_equations_of_the_lstm(equations):
    assert plain(equations.forward(cells.LSTM)) == [
        "i = s(u_i + v_i)",
        "f = s(u_f + v_f)",
        "g = tanh(u_g + v_g)",
        "o = s(u_o + v_o)",
        "c_t = f*c_0 + i*g",
        "h_t = o*tanh(c_t)",
    ]
    assert plain(equations.backward(cells.LSTM))[-4:] == [
        "do = dh_t*\\mathrmtanh_c*o*(1 - o)",
        "du = dv = (di, df, dg, do)",
        "dh_0 = W_hh^\\top dv",
        "dc_0 = dc*f",
    ]


def test_a_gate_that_reaches_u_and_v_differently(equations):
    assert plain(equations.backward(cells.GRU))[-3:] == [
        "du = (dr, dz, dn)",
        "dv = (dr, dz, dn*r)",
        "dh_0 = W_hh^\\top dv + dh_t*z",
    ]


def test_cases_and_one_gate(equations):
    assert plain(equations.forward(cells.RNN_RELU)) == ["a = u_a + v_a", "h_t = \\max(a, 0)"]
    line, _ = plain(equations.backward(cells.RNN_RELU))
    assert line.startswith("du = dv = \\begincases dh_t & \\textwhere  h_t > 0")


@pytest.mark.parametrize(
    ("recurrent", "reads", "found"),
    [
        (("f",), "c", ["du = (dc*g, dc)", "dv = dc*g", "dh_0 = 0", "dc_0 = W_hh^\\top dv + dc*f"]),
        ((), None, ["du = (dc*g, dc)", "dh_0 = 0", "dc_0 = dc*f"]),
    ],
)
def test_products_that_a_cell_does_without(equations, recurrent, reads, found):
    class Two(NamedTuple):
        f: object
        g: object

    def forward(u, v, state, *, xp):
        f, g = sigmoid(u.f, xp=xp), u.g
        c = f * state.c
        return State(g, c), (f, g)

    def backward(residuals, state, new, dnew, *, xp):
        (f, g), dc = residuals, dnew.c
        du = Two(dc * g, dc)
        return du, du, State(None, dc * f)

    cell = xpbptt.Cell("mine", Two, State, forward, backward, recurrent=recurrent, reads=reads)
    assert plain(equations.forward(cell)) == ["f = s(u_f)", "h_t = u_g", "c_t = f*c_0"]
    assert plain(equations.backward(cell)) == ["dc = dc_t", *found]


def test_residuals_have_the_symbols_that_they_have_in_the_step(equations):
    def forward(u, v, state, *, xp):
        h = state.h * xp.tanh(u.a)
        return State(h, h), (u.a, state.c + v.a)

    def backward(residuals, state, new, dnew, *, xp):
        kept, both = residuals
        da = Gates(dnew.h * kept * both)
        return da, da, State(dnew.h, None)

    cell = xpbptt.Cell("mine", Gates, State, forward, backward)
    assert plain(equations.backward(cell))[0] == "du = dv = dh_t*u_a*(c_0 + v_a)"


class Gates(NamedTuple):
    a: object


class State(NamedTuple):
    h: object
    c: object


class Own(NamedTuple):
    p_a: object


def test_brackets_stand_where_the_source_has_them(equations):
    def forward(u, v, state, *, extra, xp):
        beta = -(u.a - (v.a - 1)) / (state.h * extra.p_a)
        c = (state.c + beta) * xp.exp(-beta) ** 2
        return State(2 * sigmoid(c, xp=xp), c), (beta,)

    def backward(residuals, state, new, dnew, *, extra, xp):
        (beta,) = residuals
        da = Gates(dnew.h * beta)
        return da, da, State(None, dnew.c), Own(dnew.h)

    cell = xpbptt.Cell("mine", Gates, State, forward, backward, extra=lambda size: Own((size,)))
    assert plain(equations.forward(cell)) == [
        "\\beta = -(u_a - (v_a - 1)) / (h_0*p_a)",
        "c_t = (c_0 + \\beta)*\\exp(-\\beta)^2",
        "h_t = 2 \\, s(c_t)",
    ]
    assert plain(equations.backward(cell))[-1] == "dp_a = dh_t"


def test_what_has_no_equation_is_refused_and_not_guessed(equations):
    def forward(u, v, state, *, xp):
        h = u.a[0]
        return State(h, h), ()

    cell = xpbptt.Cell("mine", Gates, State, forward, forward)
    with pytest.raises(equations.Untranslatable, match=r"u\.a\[0\]"):
        equations.forward(cell)


def test_every_cell_of_the_package_has_a_page_with_equations(extension):
    pages = extension("cell_pages").found()
    assert {"rnn", "lstm", "gru", "gru_reset_before", "lif"} <= {page.name for page in pages}
    names = {cell.name for page in pages for cell in page.cells.values()}
    assert {cell.name for cell in cells.BUILT_IN} <= names
    for page in pages:
        text = extension("cell_pages").text(page)
        words = page.module.__doc__ or ""
        assert ".. math::" in text + words or "(1)\n" in words, page.name
        assert "\nDerivative" in text, page.name
        assert "Shapes\n" in text
        assert "References\n" in page.module.__doc__, f"{page.name} names no source"
    text = extension("cell_pages").text(next(page for page in pages if page.name == "lstm"))
    assert "   * - ``params[layer].weight_ih``\n     - (4·H, I)\n" in text
    assert "Made by :func:`xpbptt.LSTM`." in text


def test_every_public_name_is_in_the_reference(extension):
    public = extension("public")
    pages = public.reference()
    listed = {line.strip() for text in pages.values() for line in text.splitlines()}
    assert set(xpbptt.__all__) <= listed | {"Array"}
    for module in public.MODULES:
        kept = public.values(module)
        for name in public.names(module):
            is_module = f"{module}.{name}" in public.MODULES or public.on_top(module, name)
            page = pages.get(module.removeprefix("xpbptt."), "")
            assert f"   {name}\n" in page or name in kept or is_module, f"{module}.{name}"


def test_modules_with_public_names_are_in_the_reference(extension):
    """A new module for users is not forgotten."""
    public = extension("public")
    rooms = {path.stem for path in public.ROOT.glob("[!_]*.py")}
    assert {f"xpbptt.{name}" for name in rooms} <= set(public.MODULES)
    private = {"arrangement", "blocks", "files", "lists", "onnx_graph", "projection", "tensors"}
    interop = {path.stem for path in (public.ROOT / "interop").glob("[!_]*.py")} - private
    assert {f"xpbptt.interop.{name}" for name in interop} <= set(public.MODULES)


def test_dead_links_are_found(extension, tmp_path):
    (tmp_path / "one.html").write_text(
        '<a href="two.html#there">a</a><a href="two.html#gone">b</a><a href="three.html">c</a>'
        '<img src="four.png"><a href="https://example.org/x">d</a><h1 id="here"></h1>'
        '<a href="#here">e</a><a href="#nowhere">f</a>'
    )
    (tmp_path / "two.html").write_text('<h2 id="there"></h2>')
    assert extension("links").dead(tmp_path) == [
        "one.html: two.html#gone",
        "one.html: three.html",
        "one.html: four.png",
        "one.html: #nowhere",
    ]


def test_a_script_that_takes_long_is_a_warning(extension, monkeypatch, caplog):
    limit = extension("limit")
    clock = iter([100.0, 100.0, 100.0 + limit.SECONDS, 200.0, 200.1 + limit.SECONDS])
    monkeypatch.setattr(limit.time, "process_time", lambda: next(clock))
    limit.watch({}, None, "before")  # of a folder
    for script in ("plot_short.py", "plot_long.py"):
        limit.watch({}, script, "before")
        limit.watch({}, script, "after")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("plot_long.py took 20 s of the processor, more than")
    assert caplog.records[0].name.startswith("sphinx.")  # --fail-on-warning counts these
