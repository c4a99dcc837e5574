"""How results are printed, whatever they are: the one model of a table, its formats, and the one kit of pages.

Reports, comparisons and audits build a `table.Table`, which markdown.py and latex.py print. `html.render_html` makes a
page of a template that extends base.html.jinja, prints tables with the macros of tables.html.jinja, and brings its own
style and script.
"""
