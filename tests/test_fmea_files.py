"""Worksheets on disk: each form gives back what it was given, formulas stay text, and broken files are named."""

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
    with pytest.raises(ContractError, match=r"long\.csv.*a CSV in UTF-8"):
        read_worksheet(tmp_path / "long.csv")
