"""What every HTML page shares: one frame, style and script, tables to sort, and figures that are drawn inline.

`render_html` makes a page of a template that extends base.html.jinja, with the style and the script that lie beside it.
The pages of reports, comparisons and audits are made of it.
"""

from harness.reporting.kit.html import Drawing, draw_inline, render_html

__all__ = ["Drawing", "draw_inline", "render_html"]
