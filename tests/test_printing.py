"""One table, printed by every format; numbers and words as they are printed everywhere."""

import re

from harness.printing.html import mark_inline
from harness.printing.latex import latex
from harness.printing.markdown import markdown
from harness.printing.numbers import decimal, name_epoch, percent, short
from harness.printing.table import DAGGER, Column, Section, Table, Value, number, plain

COLUMNS = [
    Column("Noise", "word"), Column("Method", "word"), Column("n"),
    *(Column(part, part, "rSum", "rsum") for part in ("ours", "published", "difference")),
]  # fmt: skip


def row(noise: str, method: str, *values: Value) -> list[Value]:
    return [Value(noise), Value(method), Value("3"), *values]


TABLE = Table(
    COLUMNS,
    [
        [
            row("0 %", "a|b", number(403.04, spread=3, best=True), number(502.7, mark="a"), number(-99.66, sign=True)),
            row("0 %", "c_d", number(400.0, spread=2.5, mark=DAGGER), Value(""), Value("")),
        ],
        [row("40 %", "a|b", number(None), Value(""), Value(""))],
    ],
    keys=2,
)


def test_markdown() -> None:
    lines = markdown(Section("T", ["Words.", TABLE, ["a note"]], level=1)).splitlines()
    assert lines[:3] == ["# T", "", "Words."]
    cells = [[cell.strip() for cell in line.replace(r"\|", "/").strip("|").split("|")] for line in lines[4:9]]
    assert cells[0] == ["Noise", "Method", "n", "rSum", "published", "difference"]
    assert cells[2] == ["0 %", "a/b", "3", "**403.0 ± 3.0**", "502.7 [a]", "−99.7"]
    assert cells[3] == ["", "c_d", "3", "400.0 ± 2.5 †", "", ""]  # the noise rate is not said again
    assert cells[4] == ["40 %", "a/b", "3", "–", "", ""]
    assert lines[-1] == "- a note"


def test_latex() -> None:
    papers = {"CRCL": "qin2023crcl"}
    text = latex(
        "t", "A & B", TABLE, ["Protocol of 5 %.", "run `x_y --only a`"], footnotes={"a": "the source"},
        cited={"a": "huang2021ncr"}, papers=papers,
    )  # fmt: skip
    lines = text.splitlines()
    assert lines[:4] == [r"\begin{table}", r"\centering", r"\caption{A \& B}", r"\label{tab:t}"]
    at = lines.index(r"\toprule")
    assert lines[at - 1] == r"\begin{tabular}{@{}llrrrr@{}}"
    assert lines[at + 1 : at + 3] == [r" &  &  & \multicolumn{3}{c}{rSum} \\", r"\cmidrule(lr){4-6}"]
    assert lines[at + 3] == r"Noise & Method & n & ours & published & difference \\"
    ours = r"\textbf{403.0}$_{\pm3.0}$"
    assert lines[at + 5] == rf"0 \% & a\textbar{{}}b & 3 & {ours} & 502.7\textsuperscript{{a}} & $-$99.7 \\"
    assert lines[at + 6] == r" & c\_d & 3 & 400.0$_{\pm2.5}^{\dagger}$ &  &  \\"
    assert lines.count(r"\midrule") == 2
    assert lines[-5:] == [
        r"\textsuperscript{a}\,the source~\cite{huang2021ncr}.\par",
        r"Protocol of 5 \%.\par",
        r"run \texttt{x\_y -{}-{}only a}\par",
        r"Papers: CRCL~\cite{qin2023crcl}.\par}",
        r"\end{table}",
    ]


def many(columns: int, rows: int, word: str = "Method") -> Table:
    """A table that is wide, or long."""
    titles = [Column("Noise", "word"), Column("Method", "word"), *(Column(f"c{n}") for n in range(columns))]
    body = [
        [Value("0 %"), Value(f"{word} {n}"), *(number(100.0 + n, spread=2.5) for _ in range(columns))]
        for n in range(rows)
    ]
    return Table(titles, [body], keys=2)


def test_what_is_too_wide_stands_in_blocks_and_what_is_too_long_on_pages() -> None:
    small = latex("t", "T", many(4, 3), [])
    assert r"\fontsize{9}{11}" in small
    assert small.count(r"\begin{tabular}") == small.count(r"\begin{table}") == 1
    wide = latex("t", "T", many(13, 3), [])
    assert (wide.count(r"\begin{tabular}"), wide.count(r"\begin{table}")) == (2, 1)
    assert [wide.count(f"c{n} ") for n in range(13)] == [1] * 13  # every column once
    assert wide.count("Method 2") == 2  # in both blocks
    assert latex("t", "T", many(13, 3), [], style="rotated").count(r"\begin{tabular}") == 1
    long = latex("t", "T", many(4, 150), ["a note"])
    pages = long.split(r"\begin{table}")[1:]
    assert len(pages) == 3
    assert long.count("a note") == pages[-1].count("a note") == 1
    assert [page.count(r"\addtocounter{table}{-1}") for page in pages] == [0, 1, 1]
    assert [int(row) for row in re.findall(r"Method (\d+) ", long)] == list(range(150))


def test_a_long_name_is_broken_and_its_group_said_above_it() -> None:
    text = latex("t", "T", many(5, 2, "A method with a name that goes on and on and on"), [])
    assert r"\multicolumn{6}{@{}l@{}}{\emph{Noise: 0 \%}} \\" in text
    assert text.count(r"\parbox[t]") == 2


def test_what_a_page_asks_of_a_table() -> None:
    assert TABLE.heads == [("", 1), ("", 1), ("", 1), ("rSum", 3)]
    assert (TABLE.shared, TABLE.spreads, TABLE.bodies) == (1, {3}, TABLE.groups)
    apart = Table(COLUMNS, [[row] for row in TABLE.rows], keys=2)
    assert apart.bodies == [TABLE.rows]  # there is nothing to sort within groups of one
    assert apart.shared == 0
    assert TABLE.rows[2][3].missing
    assert [TABLE.rows[0][3].sort, TABLE.rows[2][3].sort] == ["403.04", ""]


def test_a_plain_table_knows_its_numbers() -> None:
    table = plain(["", "A"], [["x", number(1.5)], ["y", "–"]], numbers=(1,), leads=True)
    assert [(column.kind, column.metric) for column in table.columns] == [("word", None), ("number", "")]
    assert [value.sort for value in table.rows[1]] == ["y", ""]
    assert markdown(Section("T", [plain(["a"], [])])).startswith("## T\n\n| a")


def test_numbers_as_printed() -> None:
    assert [decimal(value) for value in (None, 0.0, -0.04, 70.25, -3.14)] == ["", "0.0", "0.0", "70.2", "−3.1"]
    assert [decimal(value, sign=True) for value in (None, -0.04, 2.0, -2.0)] == ["", "0.0", "+2.0", "−2.0"]
    assert (decimal(21.5, 0), percent(0.3994), percent(0.83, 0)) == ("22", "39.9 %", "83 %")
    assert [short(value) for value in (0.123456, [7, 32], None, True, "a")] == ["0.1235", "7-32", "none", "on", "a"]


def test_code_and_bold_are_marked_and_everything_else_is_escaped() -> None:
    assert mark_inline("`a <b>` **c & d** *e* ** f") == "<code>a &lt;b&gt;</code> <strong>c &amp; d</strong> *e* ** f"


def test_pieces_and_epochs_are_counted_from_1_where_they_are_printed() -> None:
    assert name_epoch(0, 4) == "epoch 1 of 4"
    assert name_epoch(2, 6, 1, 2) == "piece 2 of 2, epoch 3 of 6"
