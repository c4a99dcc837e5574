"""One table, printed by every format; numbers and words as they are printed everywhere."""

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
    lines = latex("t", "A & B", TABLE, {"a": "the source"}, ["run `x_y`"]).splitlines()
    assert lines[2:6] == [r"\caption{A \& B}", r"\label{tab:t}", r"\begin{tabular}{llrrrr}", r"\toprule"]
    assert lines[6:8] == [r" &  &  & \multicolumn{3}{c}{rSum} \\", r"\cmidrule(lr){4-6}"]
    assert lines[8] == r"Noise & Method & n & ours & published & difference \\"
    ours = r"\textbf{403.0}\,{\scriptsize$\pm$3.0}"
    assert lines[10] == rf"0 \% & a\textbar{{}}b & 3 & {ours} & 502.7\textsuperscript{{a}} & $-$99.7 \\"
    assert lines[11] == r" & c\_d & 3 & 400.0\,{\scriptsize$\pm$2.5}$^\dagger$ &  &  \\"
    assert lines.count(r"\midrule") == 2
    assert r"\textsuperscript{a}\,the source.\\" in lines
    assert r"run \texttt{x\_y}\par}" in lines


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
