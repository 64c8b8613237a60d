"""What people declare is held to a model, and what is wrong with it is said as they would say it."""

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stability.schema import ContractError, declared


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Gauge(_Strict):
    kind: Literal["gauge"]
    top: float


class Counter(_Strict):
    kind: Literal["counter", "total"]
    resets: bool = False


class Window(_Strict):
    start: float = Field(ge=0)
    end: float

    @model_validator(mode="after")
    def _forward(self):
        if self.end < self.start:
            raise ValueError(f"expected an end after its start, got {self.end:g}")
        if self.end == self.start:
            raise ContractError(column="end", expected="a moment of its own", got="the start", remedy="a later one")
        return self


class House(_Strict):
    name: str = Field(min_length=1)
    mode: Literal["off", "on"] = "off"
    rooms: int = 1
    times: float | dict[str, Annotated[float, Field(ge=0)]] | None = None
    windows: list[Window] = []
    meters: dict[str, Annotated[Gauge | Counter, Field(discriminator="kind")]] = {}
    rents: dict[int, Window] = {}
    doors: dict[Annotated[str, Field(pattern="^[a-z]+$")], Window] = {}
    token: str | None = Field(None, min_length=3)


X = {"name": "x"}
CASES = {
    "no mapping": ([1], "h.yaml: expected a mapping, got [1]. Remedy: its keys are name, mode, rooms"),
    "nothing": (None, "h.yaml: expected a mapping, got nothing. Remedy: its keys are name"),
    "missing": ({}, "column 'name': expected the key, got nothing. Remedy: add 'name: ...'."),
    "misspelt before missing": ({"nmae": "x"}, "column 'nmae': expected a known key, got 'nmae'. Remedy: did you mean"),
    "empty": ({"name": ""}, "'name': expected text that is at least 1 long, got ''"),
    "no text": ({"name": 3}, "'name': expected text, got 3. Remedy: correct the value."),
    "choice": (X | {"mode": "of"}, "'mode': expected 'off' or 'on', got 'of'"),
    "whole": (X | {"rooms": 1.5}, "'rooms': expected a whole number, got 1.5"),
    "neither form": (X | {"times": "often"}, "'times': expected a number or a mapping, got 'often'"),
    "inside a form": (X | {"times": {"a": -1}}, "'times.a': expected greater than or equal to 0, got -1"),
    "inside a list": (X | {"windows": [{"start": 0, "end": 1}, {"strt": 1}]}, "'windows.1.strt': expected a k"),
    "keys of the part": (X | {"windows": [{"x": 1}]}, "got 'x'. Remedy: there are: end, start"),
    "part": (X | {"windows": ["noon"]}, "'windows.0': expected a mapping, got 'noon'. Remedy: its keys are start"),
    "sentence": (X | {"windows": [{"start": 2, "end": 1}]}, "'windows.0': expected an end after its start, got 1."),
    "error of ours": (X | {"windows": [{"start": 2, "end": 2}]}, "'windows.0.end': expected a moment of its own, g"),
    "no kind": (X | {"meters": {"a": {"top": 1}}}, "'meters.a.kind': expected the key, got the keys top. Remedy"),
    "kinds": (X | {"meters": {"a": {"top": 1}}}, "its value is one of counter, gauge, total"),
    "unknown kind": (X | {"meters": {"a": {"kind": "gage"}}}, "expected a known kind, got 'gage'. Remedy: did you m"),
    "inside a kind": (X | {"meters": {"a": {"kind": "total", "reset": 1}}}, "'meters.a.reset': expected a known"),
    "keys of a kind": (X | {"meters": {"a": {"kind": "total", "reset": 1}}}, "did you mean 'resets'? There are: k"),
    "below a number": (X | {"rents": {404: {"strt": 1}}}, "'rents.404.strt': expected a known key, got 'strt'. Remedy"),
    "a key": (X | {"doors": {"a b": 3}}, "'doors.a b': expected a key that is text that should match pattern"),
    "no text as a key": ({1: 2}, "'1': expected a key that is text: put it in quotes, got 1"),
    "digits": (X | {"mode": 16**5000}, "'mode': expected 'off' or 'on', got a number of thousands of digits"),
    "half a character": (X | {"mode": "\ud800"}, "'mode': expected text in UTF-8, got '\\ud800'"),
    "password": (X | {"windows": "http://me:s3cret@host/a"}, "expected a list, got 'http://me:***@host/a'"),
    "missing in a kind": (X | {"meters": {"a": {"kind": "gauge"}}}, "'meters.a.top': expected the key"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "words"), CASES.values(), ids=CASES)
def test_what_is_wrong_is_said_with_its_place_in_the_file(raw, words):
    with pytest.raises(ContractError) as told:
        declared(House, raw, file="h.yaml")
    assert words in str(told.value)
    assert str(told.value).startswith("h.yaml")
    for part in ("literal[", "constrained", "dict[", "Input", "Value error", "gauge.top", "total.reset"):
        assert part not in str(told.value)


def test_a_part_of_a_file_is_named_from_the_files_root():
    with pytest.raises(ContractError, match=r"column 'houses\.2\.mode'"):
        declared(House, {"name": "x", "mode": 1}, file="h.yaml", place="houses.2")
    with pytest.raises(ContractError, match=r"column 'houses\.2': expected a mapping"):
        declared(House, 3, file="h.yaml", place="houses.2")


def test_a_secret_is_not_shown():
    for raw in ("s3", ["s3cret"], 53):
        with pytest.raises(ContractError) as told:
            declared(House, {"name": "x", "token": raw}, file="h.yaml", secret=lambda place, _: place == ("token",))
        assert "s3" not in str(told.value)
        assert "53" not in str(told.value)
        assert "'token'" in str(told.value)


class Refused(ContractError):
    """An error of a caller's own."""


def test_a_caller_names_its_own_error():
    with pytest.raises(Refused, match="expected the key"):
        declared(House, {}, error=Refused)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(
        st.sampled_from(["name", "mode", "times", "windows", "meters", "start", "end", "kind", "a", "0"])
        | st.integers(),
        inside, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(VALUES)
def test_whatever_is_read_is_held_to_the_model_or_refused_by_a_sentence(raw):
    try:
        House.model_validate(raw)
    except ValidationError:
        with pytest.raises(ContractError, match=r"^h\.yaml.*expected .*\.$"):
            declared(House, raw, file="h.yaml")
    else:
        assert repr(declared(House, raw, file="h.yaml")) == repr(House.model_validate(raw))
