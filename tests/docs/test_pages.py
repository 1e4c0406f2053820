"""The examples of the pages that need more than NumPy; sybil runs the others."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(blocks):
    names = {}
    for code in blocks:
        exec(code, names)
    return names


def test_a_layer_of_torch(torch, examples):
    layer, trained, episodes, shared = examples("cookbook/torch")
    names = run([layer])
    assert float(names["module"].weight_hh_l0.grad.abs().max()) > 0
    theirs = torch.nn.LSTM(3, 16)
    theirs.load_state_dict(names["module"].state_dict())
    torch.testing.assert_close(theirs(torch.ones(20, 8, 3))[0], names["y"])
    exec(trained, names)
    assert float(names["loss"].detach()) > 0
    exec(episodes, names)
    assert float(names["start"].grad.abs().max()) > 0
    names = run([shared])
    assert names["h"].data_ptr() == names["y"].ctypes.data
    names["features"][...] = 7
    assert (names["x"] == 7).all()


def test_a_function_for_jax(jax, examples):
    gradient, episodes, trained = examples("cookbook/jax")
    names = run([gradient])
    params, x = names["net"].init(0, xp=jax.numpy), jax.numpy.ones((1000, 8, 3), dtype="float32")
    y, _, cache = names["net"].forward(params, x)
    expected = names["net"].backward(cache, 2 * y / y.size).params
    for found, wanted in zip(names["grads"][0][:4], expected[0][:4], strict=True):
        assert float(abs(found - wanted).max()) < 1e-5
    exec(episodes, names)
    assert all(float(abs(names[grad]).max()) > 0 for grad in ("dstart", "ddt"))
    exec(trained, names)
    assert float(names["last"]) < float(names["first"])


def test_the_readme_is_short_and_its_links_lead_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n") <= 250
    links = re.findall(r"\]\(([^)]+)\)", readme)
    own = [link.partition("#")[0] for link in links if "://" not in link]
    assert len(own) > 20
    assert [link for link in own if not (ROOT / link).exists()] == []


def test_the_readme_names_each_page_of_the_documentation():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    scripts = [*(ROOT / "docs").glob("*/plot_*.py"), *(ROOT / "docs" / "cookbook").glob("*.md")]
    assert len(scripts) > 15
    assert [path.name for path in scripts if path.name not in readme] == []


def test_every_code_block_of_the_pages_is_run():
    """A block is python, which sybil takes, or no program."""
    fences = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    pages += (ROOT / "docs" / "cookbook").glob("*.md")
    for page in pages:
        for kind, body in fences.findall(page.read_text(encoding="utf-8")):
            assert kind in {"python", "", "text", "{toctree}", "{include}"}, page
            assert kind == "python" or not re.search("^(import|from) ", body, re.MULTILINE), page
