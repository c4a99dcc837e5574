"""A report as LaTeX: a `table` environment for booktabs; \\usepackage{booktabs} is all it needs."""

from itertools import groupby

from harness.reporting.render import Page, count, signed
from harness.reporting.rendered import Listing, Rendered
from harness.reporting.table import Row

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "–": "--", "−": r"$-$", "∞": r"$\infty$", "|": r"\textbar{}", "†": r"$^\dagger$",
    "≥": r"$\geq$", "β": r"$\beta$", "τ": r"$\tau$", "ε": r"$\varepsilon$",
}  # fmt: skip


def latex(rendered: Rendered) -> str:
    """The environment with caption, label and notes."""
    body, marks = ([], {}) if rendered.page is None else (_table(rendered.page), rendered.page.marks)
    body += _listing(rendered.listing) if rendered.listing else []
    lines = ["\\begin{table}", "\\centering", f"\\caption{{{escape(rendered.caption)}}}"]
    lines += [f"\\label{{tab:{rendered.report.name}}}", *body]
    notes = [f"\\textsuperscript{{{mark}}}\\,{escape(text)}." for text, mark in marks.items()]
    notes += [escape(note) for note in rendered.notes]
    if notes:
        lines += ["\\par\\smallskip", "{\\footnotesize\\raggedright", "\\\\\n".join(notes) + "\\par}"]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands; what stands between backticks in typewriter."""
    parts = ["".join(SPECIAL.get(character, character) for character in part) for part in text.split("`")]
    return "".join(f"\\texttt{{{part}}}" if number % 2 else part for number, part in enumerate(parts))


def _table(page: Page) -> list[str]:
    report = page.report
    keys = len(report.rows) + 1
    top = [""] * keys
    rules = []
    second = [escape(report.heading(axis)) for axis in report.rows] + ["$n$"]
    at = keys
    for metric, run in groupby(page.columns, key=lambda column: column[0]):
        parts = [part for _, part in run]
        head = escape(report.heading(metric))
        if len(parts) > 1:
            top.append(f"\\multicolumn{{{len(parts)}}}{{c}}{{{head}}}")
            rules.append(f"\\cmidrule(lr){{{at + 1}-{at + len(parts)}}}")
            second += ["ours", "published", "diff."]
        else:
            top.append("")
            second.append(head)
        at += len(parts)
    lines = [f"\\begin{{tabular}}{{{'l' * len(report.rows)}{'r' * (at - len(report.rows))}}}", "\\toprule"]
    lines += [" & ".join(top) + " \\\\", *rules] if rules else []
    lines.append(" & ".join(second) + " \\\\")
    for group in page.groups:
        lines.append("\\midrule")
        above = None
        for row in group.rows:
            cells = [_cell(page, row, metric, part) for metric, part in page.columns]
            lines.append(" & ".join([*map(escape, page.keys(row, above)), count(row), *cells]) + " \\\\")
            above = row
    return [*lines, "\\bottomrule", "\\end{tabular}"]


def _listing(listing: Listing) -> list[str]:
    lines = ["\\begin{tabular}{" + "".join("r" if numeric else "l" for numeric in listing.numeric) + "}", "\\toprule"]
    lines += [" & ".join(map(escape, listing.heads)) + " \\\\", "\\midrule"]
    lines += [" & ".join(map(escape, row)) + " \\\\" for row in listing.rows]
    return [*lines, "\\bottomrule", "\\end{tabular}"]


def _cell(page: Page, row: Row, metric: str, part: str) -> str:
    entry = row.entries[metric]
    if part == "published":
        return "" if entry.published is None else f"{entry.published:.1f}\\textsuperscript{{{page.mark(row)}}}"
    if part == "difference":
        text = signed(entry.difference)
        return f"${text}$" if text else ""
    if entry.mean is None:
        return "--" if row.planned else ""
    mean = f"\\textbf{{{entry.mean:.1f}}}" if entry.best else f"{entry.mean:.1f}"
    mean += f"\\,{{\\scriptsize$\\pm${entry.std:.1f}}}" if entry.std is not None else ""
    return mean + ("$^\\dagger$" if entry.tied else "")
