"""All reports as one HTML page: tables to sort, figures, what stands behind every number, what is missing.

Nothing here computes a result; `page.py` puts together what the template page.html.jinja prints.
"""

from harness.reporting.page.page import write_page

__all__ = ["write_page"]
