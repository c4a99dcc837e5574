"""LaTeX: a `table` environment for booktabs; \\usepackage{booktabs} is all it needs."""

from collections.abc import Iterable, Mapping, Sequence

from harness.printing.table import DAGGER, Table, Value

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "–": "--", "−": r"$-$", "∞": r"$\infty$", "|": r"\textbar{}", DAGGER: r"$^\dagger$",
    "≥": r"$\geq$", "β": r"$\beta$", "τ": r"$\tau$", "ε": r"$\varepsilon$",
}  # fmt: skip


def latex(name: str, caption: str, table: Table, footnotes: Mapping[str, str], notes: Sequence[str]) -> str:
    """The environment, labelled `tab:NAME`; `footnotes` by their letter."""
    below = [f"\\textsuperscript{{{mark}}}\\,{escape(text)}." for mark, text in footnotes.items()]
    below += [escape(note) for note in notes]
    lines = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{escape(caption)}}}",
        f"\\label{{tab:{name}}}",
        *_tabular(table),
    ]
    if below:
        lines += ["\\par\\smallskip", "{\\footnotesize\\raggedright", "\\\\\n".join(below) + "\\par}"]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands; what stands between backticks in typewriter."""
    parts = ["".join(SPECIAL.get(character, character) for character in part) for part in text.split("`")]
    return "".join(f"\\texttt{{{part}}}" if number % 2 else part for number, part in enumerate(parts))


def _tabular(table: Table) -> list[str]:
    align = "".join("l" if column.kind == "word" else "r" for column in table.columns)
    lines = [f"\\begin{{tabular}}{{{align}}}", "\\toprule", *_heads(table)]
    lines.append(_line(escape(column.title) for column in table.columns))
    for group in table.printed:
        lines += ["\\midrule", *(_line(map(_cell, row)) for row in group)]
    return [*lines, "\\bottomrule", "\\end{tabular}"]


def _heads(table: Table) -> list[str]:
    if not table.heads:
        return []
    cells, rules, at = [], [], 1
    for word, span in table.heads:
        cells.append(f"\\multicolumn{{{span}}}{{c}}{{{escape(word)}}}" if word else "")
        rules += [f"\\cmidrule(lr){{{at}-{at + span - 1}}}"] if word else []
        at += span
    return [_line(cells), *rules]


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _cell(value: Value) -> str:
    text = escape(value.text)
    text = f"\\textbf{{{text}}}" if value.best else text
    text += f"\\,{{\\scriptsize$\\pm${escape(value.spread)}}}" if value.spread else ""
    mark = escape(value.mark) if value.mark == DAGGER else f"\\textsuperscript{{{value.mark}}}"
    return text + mark if value.mark else text
