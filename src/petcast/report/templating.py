"""Filling a template: one page, its style sheet inside, and a policy that allows nothing else."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import petcast
from petcast.report.limits import LIMITS
from petcast.report.numbers import number
from petcast.words import count

STYLE = "style.css.j2"


def fill(template: str, content: Mapping[str, Any], styles: Sequence[str] = (STYLE,)) -> str:
    """Write a page as text; the same content gives the same text.

    Args:
        template: Its file in `report/templates`.
        content: What the template names.
        styles: Style sheets, in this order.

    Returns:
        HTML.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup, escape

    def coded(text: str) -> Markup:
        """Set what stands between backticks, such as a command, as code."""
        return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704

    loader = PackageLoader("petcast.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = number
    environment.filters["count"] = count
    environment.filters["coded"] = coded
    style = "".join(loader.get_source(environment, name)[0] for name in styles)
    page = environment.get_template(template)
    known = {"version": petcast.__version__, "style": style, "style_hash": _hash(style)}
    return page.render(limits=LIMITS, **known, **content) + "\n"


def _hash(style: str) -> str:
    """What the page's policy allows: this very style sheet, and nothing else."""
    digest = hashlib.sha256(style.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
