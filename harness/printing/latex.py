"""LaTeX: a table for booktabs that fits its page, with its protocol, sources and papers in a note below it.

\\usepackage{booktabs} is all it needs; `rotated` needs rotating too.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from harness.printing.layout import PAPERS, SIZES, Layout, Row, Style, cell_width, lay_out, measure
from harness.printing.table import DAGGER, Table, Value

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "–": "--", "−": r"$-$", "∞": r"$\infty$", "|": r"\textbar{}", DAGGER: r"$^\dagger$",
    "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$", "·": r"$\cdot$", "α": r"$\alpha$", "β": r"$\beta$",
    "γ": r"$\gamma$", "λ": r"$\lambda$", "τ": r"$\tau$", "ε": r"$\varepsilon$",
}  # fmt: skip
CODE = {**SPECIAL, "-": "-{}", "'": r"\textquotesingle{}", "/": r"/\allowbreak{}", "=": r"=\allowbreak{}"}
SMALL = SIZES[1]  # of what stands below a table


def latex(
    name: str,
    title: str,
    table: Table,
    notes: Sequence[str],
    *,
    footnotes: Mapping[str, str] | None = None,
    cited: Mapping[str, str] | None = None,
    papers: Mapping[str, str] | None = None,
    style: Style = "narrow",
) -> str:
    """The environment, labelled `tab:NAME`; where the table is too long for a page, one for each page.

    Citations stand below the table alone: how wide one is depends on the document's style.

    Args:
        title: the caption.
        notes: what a reader must know, a paragraph each.
        footnotes: sources by the letter that the values bear.
        cited: the BibTeX key of a footnote, by its letter.
        papers: the BibTeX key of a method or another part, by its printed name.
    """
    paper = PAPERS[style]
    below = [_footnotes(footnotes or {}, cited or {}), *map(escape, notes), _papers(papers or {})]
    below = [each for each in below if each]
    said = [" ".join((footnotes or {}).values()), *notes, "; ".join(papers or {})]
    lines = (
        sum(math.ceil(1.1 * measure(each, SMALL) / paper.width) for each in said if each) + len(footnotes or {}) // 5
    )
    caption = 12 * math.ceil(1.1 * measure(title, SIZES[0]) / (paper.width - 100)) + 28
    layout, pages = lay_out(table, paper, caption, lines * SMALL.line + 12)
    floats = []
    for number, groups in enumerate(pages):
        first, last = number == 0, number == len(pages) - 1
        floats += [
            f"\\begin{{{paper.environment}}}",
            "\\centering",
            *([] if first else ["\\addtocounter{table}{-1}"]),
            f"\\caption{{{escape(title)}{'' if first else ' (cont.)'}}}",
            *([f"\\label{{tab:{name}}}"] if first else []),
            "\\par\\smallskip",
            f"{{{_size(layout.size.points, layout.size.line)}\\setlength{{\\tabcolsep}}{{{layout.size.gap}pt}}",
            "\\par\\smallskip\n".join("\n".join(_tabular(layout, block, groups)) + "\n" for block in layout.blocks)
            + "\\par}",
            *([_below(below)] if last and below else []),
            f"\\end{{{paper.environment}}}",
        ]
    return "\n".join(floats) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands; what stands between backticks in typewriter, broken where it may be."""
    parts = re.sub(r"\s+", " ", text).split("`")
    return "".join(
        f"\\texttt{{{_replace(part, CODE)}}}" if number % 2 else _replace(part, SPECIAL)
        for number, part in enumerate(parts)
    )


def _replace(text: str, table: Mapping[str, str]) -> str:
    return "".join(table.get(letter, letter) for letter in text)


def _size(points: float, line: float) -> str:
    """A size that does not depend on the document's."""
    return f"\\fontsize{{{points:g}}}{{{line:g}}}\\selectfont"


def _below(paragraphs: Sequence[str]) -> str:
    return (
        f"\\par\\smallskip\n{{{_size(SMALL.points, SMALL.line)}\\raggedright\n" + "\\par\n".join(paragraphs) + "\\par}"
    )


def _footnotes(footnotes: Mapping[str, str], cited: Mapping[str, str]) -> str:
    """In one paragraph, each with the paper that it is of."""
    return " ".join(
        f"\\textsuperscript{{{mark}}}\\,{escape(text)}{_cite(cited.get(mark))}." for mark, text in footnotes.items()
    )


def _papers(papers: Mapping[str, str]) -> str:
    return "Papers: " + "; ".join(escape(name) + _cite(key) for name, key in papers.items()) + "." if papers else ""


def _cite(key: str | None) -> str:
    return f"~\\cite{{{key}}}" if key else ""


def _tabular(layout: Layout, block: list[int], groups: list[list[Row]]) -> list[str]:
    columns, key = layout.table.columns, layout.table.keys - 1
    align = "".join("l" if columns[place].kind == "word" else "r" for place in block)
    lines = [f"\\begin{{tabular}}{{@{{}}{align}@{{}}}}", "\\toprule", *_heads([columns[place].over for place in block])]
    lines.append(_line(_title(layout.titles[place], align[at]) for at, place in enumerate(block)))
    for group in groups:
        lines.append("\\midrule")
        for head, rows in layout.by_head(group):
            lines += [f"\\multicolumn{{{len(block)}}}{{@{{}}l@{{}}}}{{\\emph{{{escape(head)}}}}} \\\\"] if head else []
            above = ""
            for row in rows:
                cells = [_cell(row[place], layout, broken=place == key) for place in block]
                again = block[0] < key and row[block[0]].text == above
                lines.append(_line(["", *cells[1:]] if again else cells))  # what a row says is not said again below it
                above = row[block[0]].text
    return [*lines, "\\bottomrule", "\\end{tabular}"]


def _heads(overs: Sequence[str]) -> list[str]:
    """The line of titles that several columns share, and its rules."""
    if not any(overs):
        return []
    cells, rules, at = [], "", 1
    for over, group in groupby(overs):
        span = len(list(group))
        cells += [f"\\multicolumn{{{span}}}{{c}}{{{escape(over)}}}"] if over else [""] * span
        rules += f"\\cmidrule(lr){{{at}-{at + span - 1}}}" if over else ""
        at += span
    return [_line(cells), rules]


def _title(lines: Sequence[str], side: str) -> str:
    words = [escape(line) for line in lines]
    return f"\\shortstack[{side}]{{{f' {chr(92) * 2} '.join(words)}}}" if len(words) > 1 else "".join(words)


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _cell(value: Value, layout: Layout, *, broken: bool) -> str:
    """broken: in several lines, where it is wider than the layout allows."""
    text = escape(value.text)
    text = f"\\textbf{{{text}}}" if value.best else text
    low = f"_{{\\pm{escape(value.spread)}}}" if value.spread else ""
    high = r"^{\dagger}" if value.mark == DAGGER else ""
    text += f"${low}{high}$" if low or high else ""
    text += f"\\textsuperscript{{{value.mark}}}" if value.mark and not high else ""
    if broken and layout.cap is not None and cell_width(value, layout.size) > layout.cap:
        return f"\\parbox[t]{{{layout.cap:.0f}pt}}{{\\raggedright\\hangindent=1em {text}\\strut}}"
    return text
