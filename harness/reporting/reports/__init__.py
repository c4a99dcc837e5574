"""The kinds of reports: over the cells of grids, over how well labels tell pairs apart, over the trials of a search."""
