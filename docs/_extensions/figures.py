"""Figures that a script made without pyplot, as those of `xpbptt.plot`, for the gallery."""

from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

SHOWN = "__shown_figures__"


def scraper(_block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figures that a block left in variables, each once; return what shows them."""
    variables = block_vars["example_globals"]
    shown = variables.setdefault(SHOWN, [])
    paths = []
    for value in list(variables.values()):
        if not isinstance(value, Figure) or any(value is each for each in shown):
            continue
        shown.append(value)
        if value.canvas.manager is None:  # those of pyplot have one, and are shown anyway
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, dpi=110)
            paths.append(path)
    return figure_rst(paths, gallery_conf["src_dir"])
