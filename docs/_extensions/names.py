"""Names in single backticks, as docstrings have them: a link where the name is public.

`Net.forward` and `xpbptt.LSTM` become links; the name of an argument, as `x`, stays code, and so
does a plain word that is not in ``xpbptt.__all__``. What is
written with a role, as :func:`xpbptt.LSTM`, must exist: Sphinx warns where it does not.
"""

from functools import cache
from typing import Any

import public
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import xpbptt

ROLE = "maybe"


@cache
def homes() -> dict[str, str]:
    """Return the public names with the modules that they are documented in."""
    found = {name: module for module in public.MODULES for name in public.names(module)}
    return found | dict.fromkeys(xpbptt.__all__, "xpbptt")


def maybe(
    _name: str, _raw: str, text: str, _line: int, inliner: Any, *_rest: Any, **_options: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Return a reference that may lead nowhere, or the text as code."""
    code = nodes.literal(text, text)
    name = text.removesuffix("()")
    home = None if _is_word(name) else homes().get(name.partition(".")[0])
    if home is None and not name.startswith("xpbptt."):
        return [code], []
    reference = addnodes.pending_xref(
        "",
        code,
        refdomain="py",
        reftype="obj",
        reftarget=name if home is None else f"{home}.{name}",
        refdoc=inliner.document.settings.env.docname,
        maybe=True,
    )
    return [reference], []


def _is_word(name: str) -> bool:
    """Return whether a name is rather that of an argument, as `dropout`."""
    return name.isalpha() and name.islower() and name not in xpbptt.__all__


def leave(
    _app: Sphinx, _env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """Leave a name that is not documented as it is, without a warning."""
    return contnode if node.get("maybe") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the role; conf.py makes it the default."""
    app.add_role(ROLE, maybe)
    app.connect("missing-reference", leave)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
