"""A rendered report as text: Markdown, LaTeX, CSV. Its HTML is `harness.reporting.page`."""
