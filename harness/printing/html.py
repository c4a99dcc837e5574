"""One self-contained HTML file: style, script and pictures lie in it, and it asks for no other."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.printing.numbers import count, percent

HERE = Path(__file__).parent
INLINE = re.compile(r"`([^`]*)`|\*\*(.+?)\*\*")


def render_html(template: Path, *, title: str, **content: Any) -> str:
    """A page, the same bytes for the same content.

    Whatever comes from data is escaped by the template. The page's policy lets no script run but base.js and the one
    beside the template.

    Args:
        template: NAME.html.jinja, which extends base.html.jinja; NAME.css and NAME.js beside it go into the page.
        title: of the page.
        content: what the template prints.
    """
    name = template.name.removesuffix(".html.jinja")
    style, script = (_read(HERE / f"base.{kind}", template.parent / f"{name}.{kind}") for kind in ("css", "js"))
    environment = Environment(
        loader=FileSystemLoader([template.parent, HERE]), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"inline": mark_inline, "count": count, "percent": percent}
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return environment.get_template(template.name).render(
        title=title, style=Markup(style), script=Markup(script), script_hash=digest, **content
    )


def mark_inline(text: str) -> Markup:
    """Words between backticks in typewriter, between double stars in bold; everything escaped."""
    return Markup(
        INLINE.sub(lambda m: f"<code>{m[1]}</code>" if m[2] is None else f"<strong>{m[2]}</strong>", str(escape(text)))
    )


def _read(*files: Path) -> str:
    return "".join(file.read_text(encoding="utf-8") for file in files if file.exists())
