"""The page in a real browser: sorting, what stands behind a number, phone, dark, print; nothing fetched, no error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import Tab
from page_toys import toy_page
from PIL import Image

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium on this machine")
pytest.importorskip("websocket")

UNFOLD = "for (const each of document.querySelectorAll('details.part')) each.open = true"
TABLE = "document.querySelector('#report-toy-report table.sortable')"
HEADS = f"{TABLE}.tHead.rows[1].cells"  # noise, method, n, i2t R@1, rSum: ours, published, difference
LISTING = "document.querySelector('#report-search table.sortable')"
BOX = "document.getElementById('provenance')"
OPEN = f"{BOX}.matches(':popover-open')"
RSUM = f"{TABLE}.tBodies[2].rows[1].querySelectorAll('td.ours a')[1]"  # CRCL at 80 %, three seeds


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium.browser() as tab:
        yield tab


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_page(tmp_path_factory.mktemp("page"))


def show(tab: Tab, page: Path, **window: Any) -> None:
    """The page with its reports unfolded: none of the toy's is finished."""
    tab.open(page, **window)
    tab.run(UNFOLD)


def column(tab: Tab, number: int, table: str = TABLE) -> list[list[str]]:
    """The words of one column, group by group."""
    cell = f"row => row.cells[{number}].innerText.split('±')[0].trim()"
    return tab.run(f"[...{table}.tBodies].map(body => [...body.rows].map({cell}))")


def test_opens_without_an_error_or_a_request(tab: Tab, page: Path) -> None:
    for dark in (False, True):
        show(tab, page, dark=dark)
        tab.click(f"{HEADS}[4].firstElementChild")
        tab.hover(RSUM)
        tab.wait(OPEN)
        tab.press("Escape")
        assert tab.errors == []
        assert [request for request in tab.requests if not request.startswith("data:")] == [page.as_uri()]
        assert tab.run("typeof hacked") == "undefined"


def test_an_error_and_a_request_would_be_seen(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    file.write_text("<script src='nowhere.js'></script><script>throw new Error('seen')</script>")
    tab.open(file)
    assert any("seen" in error for error in tab.errors)
    assert len(tab.requests) == 2


def test_a_script_that_is_not_ours_does_not_run(tab: Tab, page: Path, tmp_path: Path) -> None:
    file = tmp_path / "injected.html"
    file.write_text(page.read_text().replace("<main>", "<main><script>hacked = 1</script>"))
    tab.open(file)
    assert tab.run("typeof hacked") == "undefined"
    assert any("Content Security Policy" in error for error in tab.errors)


def test_a_click_sorts_within_the_groups(tab: Tab, page: Path) -> None:
    show(tab, page)
    order = column(tab, 1)
    assert order == [["Triplet", "CRCL_x", "NCR"], ["Triplet", "CRCL_x"], ["Triplet", "CRCL_x"]]
    tab.click(f"{HEADS}[4].firstElementChild")
    assert tab.run(f"[...{HEADS}].map(head => head.getAttribute('aria-sort'))") == [
        *["none"] * 4, "descending", "none", "none",
    ]  # fmt: skip
    best_first = ["CRCL_x", "Triplet"]  # at no noise both are equal and keep their order; NCR has no value of ours
    assert column(tab, 1) == [["Triplet", "CRCL_x", "NCR"], best_first, best_first]
    assert column(tab, 4)[2] == ["323.0", "–"]  # missing is last
    assert column(tab, 0)[0][0] == "0 %"  # the groups stay
    tab.click(f"{HEADS}[4].firstElementChild")
    assert tab.run(f"{HEADS}[4].ariaSort") == "ascending"
    assert column(tab, 4)[1] == ["283.0", "363.0"]
    assert column(tab, 4)[2] == ["323.0", "–"]  # missing is last either way
    tab.click(f"{HEADS}[4].firstElementChild")
    assert tab.run(f"{HEADS}[4].ariaSort") == "none"
    assert column(tab, 1) == order


def test_the_column_of_the_groups_sorts_the_groups_by_value(tab: Tab, page: Path) -> None:
    show(tab, page)
    for _ in range(2):
        tab.click(f"{HEADS}[0].firstElementChild")
    assert tab.run(f"{HEADS}[0].ariaSort") == "descending"
    assert [group[0] for group in column(tab, 0)] == ["80 %", "40 %", "0 %"]
    assert [group[:2] for group in column(tab, 1)] == [["Triplet", "CRCL_x"]] * 3


def test_the_keyboard_sorts(tab: Tab, page: Path) -> None:
    show(tab, page)
    tab.run(f"{HEADS}[4].firstElementChild.focus()")
    tab.press("Enter")
    assert tab.run(f"{HEADS}[4].ariaSort") == "descending"


def test_a_listing_sorts_by_value_not_by_letter(tab: Tab, page: Path) -> None:
    show(tab, page)
    heads = f"{LISTING}.tHead.rows[0].cells"
    tab.click(f"{heads}[2].firstElementChild")
    assert column(tab, 2, LISTING) == [["1002.5", "391.0", "–"]]
    tab.click(f"{heads}[3].firstElementChild")
    assert column(tab, 3, LISTING) == [["0.8", "0.25", "0.001"]]


def test_hover_shows_what_stands_behind_a_number(tab: Tab, page: Path) -> None:
    show(tab, page)
    assert not tab.run(OPEN)
    tab.hover(RSUM)
    tab.wait(OPEN)
    words = " ".join(tab.run(f"{BOX}.innerText").split())
    for expected in ("80 % · CRCL_x", "rSum", "320.0", "323.0", "326.0", "412.2", "−89.2", "CRCL repository", "MLflow"):
        assert expected in words
    assert "i2t R@1" not in words  # this metric alone
    assert tab.run(f"{BOX}.querySelector('tbody a').href").startswith("http://127.0.0.1:5000/#/")
    tab.hover("document.querySelector('h1')")
    tab.wait(f"!{OPEN}")


def test_the_keyboard_shows_it_too_and_goes_in_and_out(tab: Tab, page: Path) -> None:
    show(tab, page)
    assert tab.run(f"[...{TABLE}.querySelectorAll('td > a')].filter(link => link.tabIndex === 0).length") == 1
    tab.run(f"{HEADS}[6].firstElementChild.focus()")
    tab.press("Tab")
    assert tab.run(OPEN)
    first = tab.run("document.activeElement.innerText")
    tab.press("ArrowRight")
    assert tab.run(f"document.activeElement.innerText !== {first!r}")
    assert tab.run(OPEN)
    here = tab.run("document.activeElement.hash + document.activeElement.dataset.metric")
    tab.press("Enter")
    assert tab.run(f"{BOX}.contains(document.activeElement)")
    tab.press("Escape")
    assert not tab.run(OPEN)
    assert tab.run("document.activeElement.hash + document.activeElement.dataset.metric") == here


def test_a_tap_shows_it_on_a_phone(tab: Tab, page: Path) -> None:
    show(tab, page, width=360, height=740, touch=True)
    tab.tap(RSUM)
    tab.wait(OPEN)
    box = tab.run(f"(box => [box.left, box.right, box.bottom])({BOX}.getBoundingClientRect())")
    assert box == [0, 360, 740]
    tab.tap(f"{BOX}.querySelector('.close')")
    tab.wait(f"!{OPEN}")


def test_nothing_but_tables_scrolls_sideways_on_a_phone(tab: Tab, page: Path) -> None:
    show(tab, page, width=360, height=740, touch=True)
    line = "document.querySelector('#report-toy-report .more')"
    tab.wait(f"{line} && !{line}.hidden")
    assert tab.run(f"/^[2-6] more columns: scroll the table sideways/.test({line}.innerText)")
    tab.run(f"{TABLE}.parentElement.scrollLeft = 9999")
    tab.wait(f"{line}.hidden")
    assert tab.run("Math.max(...[...document.images].map(image => image.getBoundingClientRect().right))") <= 360
    for fold in ("", "for (const each of document.querySelectorAll('details')) each.open = true;"):
        tab.run(fold)
        assert tab.run("document.documentElement.scrollWidth") == 360
        assert tab.run("innerWidth") == 360
    assert tab.run(f"{TABLE}.parentElement.scrollWidth > {TABLE}.parentElement.clientWidth")  # in a box of its own


def shade(tab: Tab, element: str, file: Path) -> float:
    """How bright a corner of an element is on the screen, from 0 to 1."""
    x, y = tab.run(f"(box => [box.left + 3, box.top + 3])(({element}).getBoundingClientRect())")
    tab.screenshot(file)
    with Image.open(file) as image:
        pixel = image.convert("L").getpixel((round(x), round(y)))
    return pixel / 255


def test_figures_follow_the_page_into_the_dark(tab: Tab, page: Path, tmp_path: Path) -> None:
    figure = "document.querySelector('#report-toy-report .drawing img')"
    for dark in (False, True):
        show(tab, page, dark=dark)
        for light in (not dark, dark):  # as the system has it, then as the button says
            tab.middle(figure)
            assert (shade(tab, figure, tmp_path / "shot.png") > 0.9) == light
            tab.run("document.getElementById('theme').click()")
        tab.run("localStorage.clear()")


def test_a_wide_screen_shows_a_table_beside_its_figure(tab: Tab, page: Path) -> None:
    box = "document.querySelector('#report-toy-report .drawing').getBoundingClientRect()"
    for width, beside in ((1000, False), (1920, True)):
        show(tab, page, width=width)
        assert tab.run(f"{box}.left > {TABLE}.getBoundingClientRect().right") == beside
        assert tab.run(f"{box}.right") <= width


def brightness(tab: Tab, element: str, what: str) -> float:
    colour = tab.run(f"getComputedStyle({element}).{what}")
    return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 765


def test_dark_where_the_system_is_dark_and_where_the_button_says_so(tab: Tab, page: Path) -> None:
    show(tab, page)
    assert brightness(tab, "document.body", "backgroundColor") > 0.9
    show(tab, page, dark=True)
    assert brightness(tab, "document.body", "backgroundColor") < 0.15
    assert brightness(tab, "document.body", "color") > 0.7
    assert tab.run("document.getElementById('theme').innerText") == "Light"
    tab.click("document.getElementById('theme')")
    assert brightness(tab, "document.body", "backgroundColor") > 0.9
    show(tab, page, dark=True)
    assert brightness(tab, "document.body", "backgroundColor") > 0.9  # remembered
    tab.run("localStorage.clear()")


def test_print_opens_what_is_folded_and_drops_the_controls(tab: Tab, page: Path, tmp_path: Path) -> None:
    tab.open(page)
    tab.send("Emulation.setEmulatedMedia", media="print")
    for control in ("#theme", "nav"):
        assert tab.run(f"getComputedStyle(document.querySelector('{control}')).display") == "none"
    assert tab.run("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    count = "document.querySelectorAll('details[open]').length"
    tab.run(f"opened = 0; addEventListener('beforeprint', () => opened = {count})")
    tab.pdf(tmp_path / "page.pdf")
    tab.send("Emulation.setEmulatedMedia", media="")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert tab.run("opened") == tab.run("document.querySelectorAll('details').length") == 6
    assert tab.run("document.querySelectorAll('details[open]').length") == 0  # folded again


def test_without_its_script_a_number_leads_to_the_list_of_runs(tab: Tab, page: Path, tmp_path: Path) -> None:
    file = tmp_path / "still.html"
    text = page.read_text()
    begin, end = text.rindex("<script>"), text.rindex("</script>")
    file.write_text(text[:begin] + text[end + len("</script>") :])
    show(tab, file)
    tab.click(RSUM)
    tab.wait("document.querySelector('#report-toy-report details').open")
    assert tab.run("document.querySelector(location.hash).innerText").startswith("80 % · CRCL_x")
