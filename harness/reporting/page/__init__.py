"""All reports as one self-contained HTML page that opens from a file: tables to sort, figures, and what stands behind
every number.

`write_page` puts it together. What the reader sees lies in page.html.jinja with tables.html.jinja, page.css and page.js
beside this file; the modules prepare what the templates print, and nothing here computes a result.
"""

from harness.reporting.page.builder import write_page

__all__ = ["write_page"]
