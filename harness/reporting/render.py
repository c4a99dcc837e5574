"""A table as Markdown, LaTeX (booktabs) and CSV."""

import csv
import io
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from tabulate import tabulate

from harness.reporting.frame import METRICS
from harness.reporting.spec import Report
from harness.reporting.table import Entry, Group, Row

NOTHING = "–"  # a run that is not there; a published value that is not sourced is blank instead


@dataclass(frozen=True)
class Page:
    """A table with the words around it. `marks` gives the letter of a footnote."""

    report: Report
    groups: list[Group]
    caption: str
    notes: list[str]
    marks: dict[str, str]

    @property
    def columns(self) -> list[tuple[str, Literal["ours", "published", "difference"]]]:
        """Metric and part; compared metrics have three."""
        compare = self.report.published.compare if self.report.published else []
        parts: list[tuple[str, Literal["ours", "published", "difference"]]] = []
        for metric in self.report.metrics:
            parts.append((metric, "ours"))
            if metric in compare:
                parts += [(metric, "published"), (metric, "difference")]
        return parts

    def mark(self, row: Row) -> str:
        return self.marks.get(row.published.footnote, "") if row.published else ""


def markdown(page: Page) -> str:
    """GitHub's table, caption above, notes below."""
    report = page.report
    heads = [report.heading(axis) for axis in report.rows] + ["n"]
    compared = {metric for metric, part in page.columns if part == "published"}
    for metric, part in page.columns:
        heads.append(report.heading(metric) if metric not in compared or part == "ours" else part)
    body = []
    for group in page.groups:
        for number, row in enumerate(group.rows):
            words = [row.words[0] if number == 0 else "", *row.words[1:]]
            body.append([*words, _count(row), *(_markdown_cell(page, row, m, p) for m, p in page.columns)])
    align = ["left"] * len(report.rows) + ["right"] * (len(heads) - len(report.rows))
    table = tabulate(body, heads, tablefmt="pipe", disable_numparse=True, colalign=align)
    notes = [f"- [{mark}] {text}" for text, mark in page.marks.items()] + [f"- {note}" for note in page.notes]
    parts = [f"# {report.title}", page.caption, table, "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(page: Page) -> str:
    """A `table` environment for booktabs; \\usepackage{booktabs} is all it needs."""
    report = page.report
    keys = len(report.rows) + 1
    top = [""] * len(report.rows) + [""]
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
    lines = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{escape(page.caption)}}}",
        f"\\label{{tab:{report.name}}}",
    ]
    lines += [f"\\begin{{tabular}}{{{'l' * len(report.rows)}{'r' * (at - len(report.rows))}}}", "\\toprule"]
    lines += [" & ".join(top) + " \\\\", *rules] if rules else []
    lines.append(" & ".join(second) + " \\\\")
    for group in page.groups:
        lines.append("\\midrule")
        for number, row in enumerate(group.rows):
            words = [escape(row.words[0]) if number == 0 else "", *map(escape, row.words[1:])]
            cells = [*words, _count(row), *(_latex_cell(page, row, m, p) for m, p in page.columns)]
            lines.append(" & ".join(cells) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    notes = [f"\\textsuperscript{{{mark}}}\\,{escape(text)}." for text, mark in page.marks.items()]
    notes += [escape(note) for note in page.notes]
    if notes:
        lines += ["\\par\\smallskip", "{\\footnotesize\\raggedright", "\\\\\n".join(notes) + "\\par}"]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def tidy_csv(page: Page) -> str:
    """One line per row and metric, every metric, full precision."""
    report = page.report
    file = io.StringIO()
    write = csv.writer(file, lineterminator="\n").writerow
    write(
        [
            *report.rows,
            "metric",
            "mean",
            "std",
            "n",
            "planned",
            "published",
            "difference",
            "status",
            "source",
            "note",
        ]
    )
    for group in page.groups:
        for row in group.rows:
            about = row.published
            for metric in METRICS:
                entry = row.entries[metric]
                if entry.mean is None and entry.published is None and row.n:
                    continue  # a metric that neither side gives
                numbers = [
                    entry.mean,
                    entry.std,
                    len(entry.seeds),
                    len(row.planned),
                    entry.published,
                    entry.difference,
                ]
                said = (
                    [about.status, about.source, about.note] if about and entry.published is not None else ["", "", ""]
                )
                write([*row.place, metric, *map(_number, numbers), *said])
    return file.getvalue()


def _number(value: float | int | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.6g}"


def _count(row: Row) -> str:
    """How many seeds, of how many that are planned."""
    if not row.planned:
        return ""
    return str(row.n) if row.n == len(row.planned) else f"{row.n}/{len(row.planned)}"


def _markdown_cell(page: Page, row: Row, metric: str, part: str) -> str:
    entry = row.entries[metric]
    if part == "published":
        return "" if entry.published is None else f"{entry.published:.1f} [{page.mark(row)}]"
    if part == "difference":
        return _signed(entry.difference).replace("-", "−")
    if entry.mean is None:
        return NOTHING if row.planned else ""
    text = f"{entry.mean:.1f}" + (f" ± {entry.std:.1f}" if entry.std is not None else "")
    return f"**{text}**" if entry.best else text


def _latex_cell(page: Page, row: Row, metric: str, part: str) -> str:
    entry: Entry = row.entries[metric]
    if part == "published":
        return "" if entry.published is None else f"{entry.published:.1f}\\textsuperscript{{{page.mark(row)}}}"
    if part == "difference":
        text = _signed(entry.difference)
        return f"${text}$" if text else ""
    if entry.mean is None:
        return "--" if row.planned else ""
    mean = f"\\textbf{{{entry.mean:.1f}}}" if entry.best else f"{entry.mean:.1f}"
    return mean + (f"\\,{{\\scriptsize$\\pm${entry.std:.1f}}}" if entry.std is not None else "")


def _signed(value: float | None) -> str:
    if value is None:
        return ""
    rounded = round(value, 1) + 0.0  # no -0.0
    return f"{rounded:+.1f}" if rounded else "0.0"


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "–": "--", "−": r"$-$", "∞": r"$\infty$", "|": r"\textbar{}",
}  # fmt: skip


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands; what stands between backticks in typewriter."""
    parts = ["".join(LATEX.get(character, character) for character in part) for part in text.split("`")]
    return "".join(f"\\texttt{{{part}}}" if number % 2 else part for number, part in enumerate(parts))
