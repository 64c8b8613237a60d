"""The development set: read whole, marks become spans, and numbers pass their checksums."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.feedback import development, read_development
from stability.records.privacy import scrub
from stability.schema import ContractError


def test_the_set_is_whole_and_its_marks_are_gone():
    frame = read_development()
    first = frame[frame["author"] == 1]
    assert first.groupby(["language", "category"]).size().unique().tolist() == [30]
    assert set(frame["author"]) >= {1, 2, 3}
    assert set(frame.groupby(["author", "language", "category"]).size()) <= {12, 20, 22, 30}
    assert not frame["text"].str.contains("[[", regex=False).any()
    assert frame["text"].duplicated().mean() < 0.01, "what is short is written more than once"
    for row in frame.itertuples():
        for start, end, kind in json.loads(row.spans):
            assert 0 <= start < end <= len(row.text)
            assert row.text[start:end].strip() == row.text[start:end]
            assert kind in development.KINDS


def test_parallel_messages_share_a_group_and_a_label():
    frame = read_development()
    for _, both in frame[frame["author"].isin(development.PARALLEL)].groupby("group"):
        assert both["language"].tolist() == ["en", "zh"]
        assert both["category"].nunique() == 1


def test_equal_seeds_fill_in_equal_numbers():
    assert read_development(seed=3).equals(read_development(seed=3))
    assert not read_development(seed=3)["text"].equals(read_development(seed=4)["text"])


@given(st.integers(0, 2**32))
def test_numbers_pass_their_checksums(seed):
    rng = np.random.default_rng(seed)
    assert scrub(development.card_number(rng)) == "[card]"
    assert scrub(development.iban(rng)) == "[iban]"
    assert scrub(development.token(rng)) == "[token]"
    number = development.identity(rng)
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    rest = sum(w * int(d) for w, d in zip(weights, number, strict=False)) % 11
    assert number[-1] == "10X98765432"[rest], "as the standard's table has it"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("billing|normal", "category"),
        ("bill|normal|x", "did you mean 'billing'"),
        ("billing|soon|x", "urgency"),
        ("billing|low|[[card:4111]]", "filled in"),
        ("billing|low|[[name]]", "filled in"),
        ("billing|low|[[nome:Anna]]", "kinds"),
    ],
)
def test_lines_that_cannot_be_understood(tmp_path, line, said):
    (tmp_path / "01.en.txt").write_text(f"other|low|hello\n{line}\n")
    with pytest.raises(ContractError, match=said) as caught:
        read_development(tmp_path)
    assert "row 2" in str(caught.value)


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(ContractError, match="a message a line"):
        read_development(tmp_path)
