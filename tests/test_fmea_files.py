"""Worksheets on disk: each form gives back what it was given, formulas stay text, and broken files are named."""

import csv
import io
import re
import zipfile

import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stability.fmea import confront, default_worksheet, read_worksheet, write_worksheet
from stability.schema import ContractError

SHIPPED = read_worksheet()
FORMS = ["yaml", "csv", "xlsx", "html"]
texts = st.text(min_size=1, max_size=40).filter(lambda text: text.split() and " ".join(text.split()).isprintable())
NASTY = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "'=1+1",
    "''@x",
    "-2",
    "@SUM(A1)",
    "<script>alert(1)</script>",
    "a & b <td>",
    '"',
    "NA",
    "nan",
]


@pytest.mark.parametrize("form", FORMS)
def test_what_was_written_comes_back(tmp_path, form):
    path = write_worksheet(SHIPPED, tmp_path / f"mine.{form}")
    pd.testing.assert_frame_equal(read_worksheet(path), SHIPPED)
    first = path.read_bytes()
    if form != "xlsx":  # which holds the time of its making
        assert write_worksheet(read_worksheet(path), path).read_bytes() == first


def test_what_ships_is_as_it_would_be_written(tmp_path):
    assert write_worksheet(SHIPPED, tmp_path / "again.yaml").read_bytes() == default_worksheet().read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_nasty_texts_come_back(tmp_path, form):
    sheet = SHIPPED.iloc[: len(NASTY)].assign(effect=NASTY)
    pd.testing.assert_frame_equal(read_worksheet(write_worksheet(sheet, tmp_path / f"x.{form}")), sheet)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, texts, st.sampled_from(["yaml", "csv", "html"]))
def test_any_text_comes_back_with_single_spaces(tmp_path, effect, mode, form):
    sheet = SHIPPED.iloc[:1].assign(effect=effect).set_axis([mode]).rename_axis("failure_mode")
    again = read_worksheet(write_worksheet(sheet, tmp_path / f"x.{form}"))
    assert again["effect"].tolist() == [" ".join(effect.split())]
    assert again.index.tolist() == [" ".join(mode.split())]


def test_a_spreadsheet_computes_nothing(tmp_path):
    sheet = SHIPPED.iloc[:2].assign(effect=["=1+1", "@x"])
    book = openpyxl.load_workbook(write_worksheet(sheet, tmp_path / "x.xlsx"))
    cells = [cell for row in book["worksheet"].iter_rows() for cell in row if isinstance(cell.value, str)]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.quotePrefix for cell in cells if cell.value in ("=1+1", "@x")] == [True, True]
    text = write_worksheet(sheet, tmp_path / "x.csv").read_text()
    assert "'=1+1" in text
    assert "'@x" in text


def test_a_page_runs_nothing(tmp_path):
    page = write_worksheet(SHIPPED.iloc[:1].assign(effect="<script>x</script>"), tmp_path / "x.html").read_text()
    assert "<script" not in page
    assert "http" not in page


@pytest.mark.parametrize("form", ["xlsx", "html"])
def test_evidence_goes_along_and_does_not_disturb(tmp_path, form):
    rated = confront(SHIPPED, {})
    path = write_worksheet(SHIPPED, tmp_path / f"x.{form}", rated=rated)
    pd.testing.assert_frame_equal(read_worksheet(path), SHIPPED)
    if form == "xlsx":
        assert openpyxl.load_workbook(path)["evidence"]["A2"].value == rated.index[0]
    else:
        assert f"<td>{rated.index[0]}</td>" in path.read_text().split('id="evidence"')[1]
    with pytest.raises(ContractError, match="room for evidence"):
        write_worksheet(SHIPPED, tmp_path / "x.csv", rated=rated)


def test_spreadsheets_of_other_hands_are_read(tmp_path):
    """Without a sheet of our name, with an empty row, and with a byte order mark."""
    flat = SHIPPED.head(3).reset_index()
    book = openpyxl.Workbook()
    book.active.title = "Sheet1"
    for row in [list(flat.columns), *flat.astype(object).where(flat.notna(), None).to_numpy().tolist()]:
        book.active.append(row)
    book.active.append([None] * 3)
    book.save(tmp_path / "x.xlsx")
    pd.testing.assert_frame_equal(read_worksheet(tmp_path / "x.xlsx"), SHIPPED.head(3))
    flat.to_csv(tmp_path / "x.csv", index=False, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(read_worksheet(tmp_path / "x.csv"), SHIPPED.head(3))


@pytest.mark.parametrize("form", ["csv", "xlsx", "html", "yaml"])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\x00\xff\xfe", b"PK\x03\x04 cut off"])
def test_broken_files_are_named(tmp_path, form, content):
    path = tmp_path / f"broken.{form}"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=rf"broken\.{form}"):
        read_worksheet(path)


@pytest.mark.parametrize("form", FORMS)
def test_missing_files_are_named(tmp_path, form):
    with pytest.raises(ContractError, match=rf"none\.{form}.*no file"):
        read_worksheet(tmp_path / f"none.{form}")


def test_a_header_without_rows_and_another_ending(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(",".join(["failure_mode", *SHIPPED.columns]) + "\n")
    with pytest.raises(ContractError, match="1 to 10,000 rows"):
        read_worksheet(path)
    with pytest.raises(ContractError, match=r"\.yaml, \.yml, \.csv, \.xlsx, \.html"):
        write_worksheet(SHIPPED, tmp_path / "x.pdf")


def test_a_workbook_that_unpacks_to_more_than_any_worksheet(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"0" * (1 << 25))
    with pytest.raises(ContractError, match="unpacked"):
        read_worksheet(tmp_path / "bomb.xlsx")


def _twice(path, name):
    """Write the worksheet with a column that stands twice, as a spreadsheet's user may leave it."""
    flat = SHIPPED.head(3).reset_index()
    head = [*flat.columns, name]
    rows = [[*row, row[flat.columns.get_loc(name)]] for row in flat.astype(object).where(flat.notna(), None).to_numpy()]
    if path.suffix == ".csv":
        pd.DataFrame(rows, columns=head).to_csv(path, index=False)
    elif path.suffix == ".html":
        pd.DataFrame(rows, columns=head).to_html(path, index=False, table_id="worksheet", na_rep="")
    else:
        book = openpyxl.Workbook()
        for row in (head, *rows):
            book.active.append(list(row))
        book.save(path)
    return path


@pytest.mark.parametrize("form", ["csv", "xlsx", "html"])
@pytest.mark.parametrize("name", ["effect", "severity", "failure_mode"])
def test_a_column_that_stands_twice_is_named(tmp_path, form, name):
    with pytest.raises(
        ContractError, match=rf"twice\.{form}.*column '{name}': expected each column once, got it twice"
    ):
        read_worksheet(_twice(tmp_path / f"twice.{form}", name))


def test_a_row_of_a_csv_that_is_too_short_or_too_long_is_told(tmp_path):
    lines = write_worksheet(SHIPPED.head(3), tmp_path / "x.csv").read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join([*lines[:3], lines[3].split(",")[0]]) + "\n")
    with pytest.raises(ContractError, match=r"short\.csv.*row 3"):
        read_worksheet(tmp_path / "short.csv")
    (tmp_path / "long.csv").write_text("\n".join([lines[0], *(f"{line},more" for line in lines[1:])]) + "\n")
    with pytest.raises(ContractError, match=r"long\.csv, row 1: expected 18 cells as in the header, got 19"):
        read_worksheet(tmp_path / "long.csv")


PLACES = {name: place for place, name in enumerate(["failure_mode", *SHIPPED.columns], 1)}


def _changed(path, change):
    """Write six modes as Excel, and change the sheet as its user may."""
    book = openpyxl.load_workbook(write_worksheet(SHIPPED.head(6), path))
    change(book["worksheet"])
    book.save(path)
    return path


def _eleven_below_an_empty_row(sheet):
    sheet.insert_rows(3)
    sheet.cell(6, PLACES["severity"], 11)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda sheet: sheet.cell(3, PLACES["severity"], True),
            f"row 2, column 'severity': mode '{SHIPPED.index[1]}'.*1 to 10, got the truth value TRUE",
        ),
        (lambda sheet: sheet.cell(3, PLACES["safety_floor"], True), "row 2, column 'safety_floor'.*value TRUE"),
        (lambda sheet: sheet.cell(5, 25, "a note"), "row 4, column 'Y'.*a name in the header.*'a note' in cell Y5"),
        (lambda sheet: sheet.cell(5, 400, "a note"), "in cell OJ5"),
        (
            lambda sheet: sheet.merge_cells("G2:G6"),
            "column 'playbook'.*rows 2 to 6 of the sheet merged.*unmerge them and fill each",
        ),
        (_eleven_below_an_empty_row, f"row 5, column 'severity': mode '{SHIPPED.index[3]}'.*got 11"),
        (
            lambda sheet: sheet.cell(4, PLACES["severity"], "=2+3"),
            "a formula that was never computed, in cell K4. Remedy: open and save the file in Excel, or paste values",
        ),
    ],
)
def test_no_cell_of_a_spreadsheet_is_lost_or_misread(tmp_path, change, said):
    with pytest.raises(ContractError, match=rf"x\.xlsx.*{said}"):
        read_worksheet(_changed(tmp_path / "x.xlsx", change))


def test_a_formula_is_read_as_the_spreadsheet_computed_it(tmp_path):
    """One that gives an empty text says nothing, as the cell shows."""
    path = _changed(tmp_path / "x.xlsx", lambda sheet: sheet.cell(2, PLACES["playbook"], '=""'))
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    sheet, number = re.subn(rb'<c r="G2"([^>]*)><f>', rb'<c r="G2"\1 t="str"><f>', parts["xl/worksheets/sheet1.xml"])
    assert number == 1
    with zipfile.ZipFile(path, "w") as packed:
        for name, part in (parts | {"xl/worksheets/sheet1.xml": sheet}).items():
            packed.writestr(name, part)
    assert read_worksheet(path)["playbook"].iloc[0] == ""


@pytest.mark.parametrize("drawn", [False, True])
def test_a_sheet_that_is_a_chart_has_no_cells(tmp_path, drawn):
    book = openpyxl.Workbook()
    book.remove(book.active)
    chart = book.create_chartsheet("worksheet")
    if drawn:
        chart.add_chart(openpyxl.chart.BarChart())
    book.save(tmp_path / "x.xlsx")
    with pytest.raises(ContractError, match=r"expected a workbook with a sheet of cells"):
        read_worksheet(tmp_path / "x.xlsx")


def _rows():
    """The cells of six modes as CSV, the header first."""
    flat = SHIPPED.head(6).reset_index().astype(object)
    return [list(flat.columns), *flat.where(flat.notna(), "").to_numpy().tolist()]


def _separated(rows, by):
    held = io.StringIO()
    csv.writer(held, delimiter=by).writerows(rows)
    return held.getvalue().encode()


@pytest.mark.parametrize("by", [";", "\t"])
@pytest.mark.parametrize("above", [b"", b"\xef\xbb\xbf", b"sep=%b\r\n"])
def test_a_csv_of_another_country_is_read(tmp_path, by, above):
    path = tmp_path / "x.csv"
    path.write_bytes(above.replace(b"%b", by.encode()) + _separated([[*row, ""] for row in _rows()], by))
    pd.testing.assert_frame_equal(read_worksheet(path), SHIPPED.head(6))


def _with(row, column, value):
    """The rows with another cell, below an empty line."""
    rows = _rows()
    rows[row][PLACES[column] - 1] = value
    return [*rows[:2], [], *rows[2:]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_separated([*_rows()[:3], [*_rows()[3], "x"]], ";"), r"row 3: expected 18 cells.*got 19.*';' into quotes"),
        (
            _separated([*_rows()[:3], _rows()[3][:9], *_rows()[4:]], "\t"),
            "row 3: expected 18 cells.*got 9.*fill the row",
        ),
        (_separated(_rows(), ",") + b'a,"b\r\nc', "row 7: expected 18 cells.*got 2.*close the quote that opens"),
        (_separated(_rows(), ",") + b'"' + b"x" * 200_000 + b"\r\n", "row 7: expected 18 cells.*close the quote"),
        (
            _separated([[*row, ""] for row in _rows()[:3]] + [[*_rows()[3], "x"]], ";"),
            "row 3, column 'S'.*'x' in cell S4",
        ),
        (_separated(_rows(), "\t").decode().encode("utf-16"), "got UTF-16. Remedy: convert it: iconv -f UTF-16"),
        (_separated(_rows(), "\t").decode().encode("utf-16-be"), "got UTF-16"),
        (_separated(_rows(), ";").replace(b"a", b"\xe4"), "a byte that UTF-8 does not have.*'CSV UTF-8'"),
        (_separated(_with(4, "severity", "11"), ","), f"row 5, column 'severity': mode '{SHIPPED.index[3]}'.*got 11"),
        (_separated(_with(4, "effect", ""), ","), f"row 5, column 'effect': mode '{SHIPPED.index[3]}'"),
        (_separated(_with(4, "failure_mode", SHIPPED.index[0]), ","), "row 5, column 'failure_mode'.*again"),
    ],
)
def test_what_is_wrong_in_a_csv_is_told_with_its_row(tmp_path, content, said):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ContractError, match=rf"x\.csv.*{said}"):
        read_worksheet(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "<table id='worksheet'><tr><td>a<td>b</tr><tr><td>1<td>2</tr><tr><td>3</tr></table>",
            "row 2: expected 2 cells",
        ),
        ("<table id='worksheet'><tr><td>a<td></tr><tr><td>1<td>2</tr></table>", "row 1, column 'B'.*'2' in cell B2"),
        ("<table id='worksheet'><tr><td>a</tr></table>", "a header and rows"),
    ],
)
def test_what_is_wrong_in_a_page_is_told_with_its_row(tmp_path, content, said):
    (tmp_path / "x.html").write_text(content)
    with pytest.raises(ContractError, match=rf"x\.html.*{said}"):
        read_worksheet(tmp_path / "x.html")
    (tmp_path / "x.html").write_bytes(content.encode("utf-16"))
    with pytest.raises(ContractError, match="an HTML page in UTF-8, got UTF-16"):
        read_worksheet(tmp_path / "x.html")


@pytest.mark.parametrize("form", FORMS)
def test_a_place_that_cannot_be_written_to_is_named(tmp_path, form):
    (tmp_path / f"folder.{form}").mkdir()
    (tmp_path / "file").touch()
    for place, said in ((f"folder.{form}", "is a directory"), (f"file/x.{form}", "a file, no folder")):
        with pytest.raises(ContractError, match=f"expected a file that can be written, got .*{said}"):
            write_worksheet(SHIPPED.head(1), tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", f"folder.{form}"]


@pytest.mark.parametrize("form", FORMS)
def test_a_worksheet_without_rows_is_not_written(tmp_path, form):
    with pytest.raises(ContractError, match="expected 1 to 10,000 rows"):
        write_worksheet(SHIPPED.head(0), tmp_path / f"x.{form}")
    assert not list(tmp_path.iterdir())
