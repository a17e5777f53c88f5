"""Sphinx: `make docs`. The Markdown stays as a code hosting site shows it; what Sphinx needs besides is added here."""

from __future__ import annotations

import re

from pygments.lexers.templates import HtmlDjangoLexer
from sphinx.application import Sphinx

from picasso import __version__

project = "Picasso"
author = copyright = "the authors of Picasso"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3
default_role = "code"  # docstrings write `name`
nitpicky = True
nitpick_ignore_regex = [(r"py:\w+", r"(?!picasso\.).*")]  # the documentation of other libraries is not at hand
napoleon_custom_sections = [("Attributes that a class declares", "params_style")]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

html_theme = "furo"
html_theme_options = {  # the accents of picasso/static/picasso.css
    "light_css_variables": {"color-brand-primary": "#b4441f", "color-brand-content": "#b4441f"},
    "dark_css_variables": {"color-brand-primary": "#f0865d", "color-brand-content": "#f0865d"},
}
html_title = f"Picasso {__version__}"
html_copy_source = False
html_show_sourcelink = False

PICTURE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<path>[\w./-]*images/[\w-]+)\.jpg\)")
SECTION = re.compile(r"^## (?P<caption>.+)\n(?P<body>(?:(?!## ).*\n?)*)", re.MULTILINE)
PAGE = re.compile(r"^- \[[^\]]+\]\(([\w/-]+)\.md\)", re.MULTILINE)


def in_light_and_dark(found: re.Match[str]) -> str:
    """A screenshot twice: the one that goes with the colours of the page is shown."""
    text, path = found["text"], found["path"]
    return f"![{text}]({path}.jpg){{.only-light}}![{text}]({path}-dark.jpg){{.only-dark}}"


def table_of_contents(index: str) -> str:
    """The tree that Sphinx wants, made of the lists of links under the headings of the first page."""
    trees = []
    for section in SECTION.finditer(index):
        pages = "\n".join(PAGE.findall(section["body"]))
        if pages:
            trees.append(f"\n\n```{{toctree}}\n:hidden:\n:caption: {section['caption']}\n\n{pages}\n```\n")
    return "".join(trees)


def complete(_app: Sphinx, name: str, source: list[str]) -> None:
    """Adds to a page what only Sphinx needs."""
    text = PICTURE.sub(in_light_and_dark, source[0])
    outside = "../" * (name.count("/") + 1)  # of this folder: files, not pages
    text = re.sub(rf"\]\((?={re.escape(outside)}\w)", "](path:", text)
    source[0] = text + table_of_contents(text) if name == "index" else text


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_lexer("html", HtmlDjangoLexer)  # templates are HTML with Jinja in it
    app.connect("source-read", complete)
