"""The documentation: ``nox -s docs`` builds it, and fails on any warning.

Nothing is fetched: equations are MathML, the theme brings its fonts. Chapters and gallery are
scripts that the build runs; the pages of the cells and the reference come from the package.
"""

import logging
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]

import cell_pages  # noqa: E402 - found by the line above, as the next ones
import figures  # noqa: E402
import limit  # noqa: E402
import links  # noqa: E402
import public  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

import xpbptt  # noqa: E402

project = "xpbptt"
author = "The xpbptt authors"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx' name
version = release = xpbptt.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "names",
]
exclude_patterns = ["_*", "course", "gallery", "**/*.ipynb"]
templates_path = ["_templates"]
default_role = "maybe"
nitpicky = True
suppress_warnings = [
    "config.cache",  # the gallery's options have functions among them
    "ref.footnote",  # the source of a whole module need not be cited in its text
]

cell_pages.generate(HERE)

# The reference: numpydoc's sections say the types, so signatures do not.
autosummary_generate = public.generate(HERE)
autodoc_typehints = "none"
autodoc_mock_imports = ["torch", "jax"]
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

highlight_language = "none"  # what is not said to be Python is a command or an equation

html_theme = "pydata_sphinx_theme"
html_title = f"xpbptt {version}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["own.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "secondary_sidebar_items": {  # not where code needs the room
        pages: ["page-toc"] for pages in ("*", "generated/cells/*", "generated/reference/**")
    },
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_sidebars = {"*": []}  # the pages at the top have none below them


def _quiet(_gallery: dict[str, Any], _script: str) -> None:
    """Draw alike on every machine, and let no log of a compiler into a page."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - on use

    logging.getLogger("xpbptt").setLevel(logging.ERROR)
    plt.rcParams.update(
        {
            "figure.figsize": (7, 3.6),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "legend.frameon": False,
            "font.size": 10,
            "axes.prop_cycle": plt.cycler(
                color=["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
            ),
        }
    )


sphinx_gallery_conf = {
    "examples_dirs": ["course", "gallery"],
    "gallery_dirs": ["generated/course", "generated/gallery"],
    "filename_pattern": r"[/\\]plot_",
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib", _quiet, limit.watch),
    "reset_modules_order": "both",
    "image_scrapers": (figures.scraper, "matplotlib"),
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "abort_on_example_error": False,
    "only_warn_on_example_error": False,
    "show_signature": False,
    "notebook_extensions": set(),
    "copyfile_regex": r".*\.rst",
    "nested_sections": False,
    "plot_gallery": True,
}


def skip_field(_app: Sphinx, _what: str, _name: str, obj: Any, skip: bool, _: Any) -> bool:  # noqa: FBT001 - Sphinx' order
    """Leave out the fields of named tuples: their docstring describes them."""
    return skip or type(obj).__name__ == "_tuplegetter"


def report_dead_links(app: Sphinx, error: Exception | None) -> None:
    """Warn of each dead link, so that the build fails."""
    if error is None and app.builder.format == "html":
        from sphinx.util.logging import getLogger  # noqa: PLC0415 - Sphinx' own, not Python's

        for each in links.dead(Path(app.outdir)):
            getLogger(__name__).warning("dead link: %s", each)


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("autodoc-skip-member", skip_field)
    app.connect("build-finished", report_dead_links)
