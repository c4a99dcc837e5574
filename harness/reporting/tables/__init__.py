"""The one model of a table, and what prints it: Markdown, LaTeX, and the macros of `harness.reporting.kit` for HTML."""
