"""Equations as MathML, which browsers draw themselves: no script, no font, nothing to download.

The translator is the one that docutils brings.
"""

from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write an equation in a line of text."""
    translator.body.append(_mathml(node, block=False))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation on lines of its own, which scroll where the window is narrow."""
    translator.body.append(f'<div class="equation">{_mathml(node, block=True)}</div>\n')
    raise nodes.SkipNode


def _mathml(node: Any, *, block: bool) -> str:
    text = node.astext()
    if block and r"\\" in text and r"\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    return str(latex2mathml.tex2mathml(text, as_block=block))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer; conf.py chooses it by name."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
