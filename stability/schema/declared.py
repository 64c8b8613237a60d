"""What people declare, held to a model of pydantic's; what is wrong with it, in the words of the house."""

from __future__ import annotations

__all__ = ["declared"]

from collections.abc import Callable, Mapping
from os import PathLike
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from stability.schema.errors import ContractError, nearest

Model = TypeVar("Model", bound=BaseModel)

LONGEST = 100  # characters of a value in an error
SECRET = "something else (it may be a secret)"  # noqa: S105  what is said instead of a value
EXPECTED = {  # kinds of pydantic's findings -> what is asked for, where its own words are a programmer's
    "string_type": "text",
    "string_unicode": "text in UTF-8",
    "invalid_key": "text: put it in quotes",
    "string_too_short": "text that is at least {min_length} long",
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "at least {min_length}",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
}


def declared(
    model: type[Model],
    raw: object,
    *,
    file: str | PathLike | None = None,
    place: str = "",
    secret: Callable[[tuple, object], bool] = lambda place, value: False,
    error: type[ContractError] = ContractError,
) -> Model:
    """Hold what a file declares to a model.

    Parameters
    ----------
    model : type of BaseModel
        What it should be.
    raw : object
        What was read.
    file : str or path
        Where it stands.
    place : str
        Path of `raw` in the file, with dots; empty where it is the whole of it.
    secret : callable
        Keys and positions that lead to a value, and the value -> whether an error must not show it.
    error : type of ContractError
        What to raise.

    Returns
    -------
    BaseModel

    Raises
    ------
    ContractError
        With the file, the path in it, what was expected, what came, and the nearest known key. A key that is misspelt
        is told before the one that is missing for it.

    Examples
    --------
    >>> class Load(BaseModel):
    ...     rate: float
    >>> declared(Load, {"rate": 2}, file="load.yaml")
    Load(rate=2.0)
    >>> declared(Load, {"rate": "fast"}, file="load.yaml")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: load.yaml, column 'rate': expected a number, got 'fast'. Remedy: correct the value.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as found:
        told = [_Finding(one, *_walk(one["loc"], model)) for one in found.errors(include_url=False)]
    except (UnicodeError, OverflowError) as found:  # half a character, or a number that no float can be
        said = {"expected": "text in UTF-8, and numbers that can be held", "got": str(found)}
        raise error(file=file, column=place or None, **said, remedy="correct the value") from None
    first = next((one for one in told if one.kind in ("extra_forbidden", "invalid_key")), told[0])
    # Of a value that may have several forms, what is wrong inside the one it has is told.
    there = [one for one in told if one.place[: len(first.place)] == first.place]
    first = max(there, key=lambda one: len(one.place)) if first.kind not in ("extra_forbidden", "missing") else first
    beside = [one for one in told if (one.place, one.of_key) == (first.place, first.of_key)]
    said = _said(first, beside, not first.of_key and secret(first.place, first.told["input"]))
    said["column"] = ".".join(part for part in (place, said["column"]) if part) or None
    raise error(said.pop("problem", ""), file=file, **said)


class _Finding:
    """One of pydantic's: its kind, where it stands in the file, and the forms that a value may have there."""

    def __init__(self, told: Mapping, place: tuple, forms: list):
        self.told, self.kind, self.place, self.forms = told, told["type"], place, forms
        self.of_key = told["loc"][-1:] == ("[key]",) or self.kind == "invalid_key"

    @property
    def words(self) -> str:
        """What is expected."""
        said = self.told["msg"].removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("expected ")
        ours = EXPECTED.get(self.kind)
        said = ours.format(**self.told.get("ctx", {})) if ours else said.replace("String should", "text that should")
        return f"a key that is {said}" if self.of_key else said


def _said(first: _Finding, beside: list[_Finding], secret: bool) -> dict[str, Any]:
    """The parts of the error for a finding, and for those of the same place."""
    told, column, keys = first.told, ".".join(map(str, first.place)), _keys(first.forms)
    key = str(first.place[-1]) if first.place else ""
    expected = " or ".join(dict.fromkeys(one.words for one in beside))
    said = {"column": column, "expected": expected, "got": _shown(told["input"], secret), "remedy": "correct the value"}
    match first.kind:
        case "extra_forbidden":
            return said | {"expected": "a known key", "got": repr(key), "remedy": nearest(key, keys)}
        case "missing":
            return said | {"expected": "the key", "got": "nothing", "remedy": f"add '{key}: ...'"}
        case "union_tag_invalid" | "union_tag_not_found":
            name = told["ctx"]["discriminator"].strip("'")
            tags = _tags(first.forms)[name]
            said |= {"column": f"{column}.{name}".removeprefix(".")}
            if first.kind == "union_tag_not_found":
                return said | {"expected": "the key", "remedy": f"its value is one of {', '.join(tags)}"}
            tag = told["input"][name]
            return said | {
                "expected": f"a known {name}",
                "got": _shown(tag, not isinstance(tag, str)),
                "remedy": nearest(str(tag), tags),
            }
        case "model_type" | "model_attributes_type":
            for name, tags in _tags(first.forms).items() if len(first.forms) > 1 else ():
                return said | {"remedy": f"such as {{{name}: NAME}}, where NAME is one of {', '.join(tags)}"}
            return said | {"remedy": f"its keys are {', '.join(keys)}"}
        case "value_error" if isinstance(told["ctx"]["error"], ContractError):
            cause = told["ctx"]["error"]
            said = {name: getattr(cause, name) for name in ("problem", "expected", "got", "remedy")}
            return said | {"column": ".".join(part for part in (column, cause.column) if part)}
        case "value_error" if ", got " in expected:
            return said | {"got": None}  # its sentence says what came
    return said


def _shown(value: object, secret: bool = False) -> str:
    if isinstance(value, Mapping):
        return f"the keys {', '.join(map(_written, value))}" if value else "no key"
    if secret and value is not None:
        return "a list" if isinstance(value, list) else SECRET
    return "nothing" if value is None else _written(value, repr)[:LONGEST]


def _written(value: object, how: Callable[[object], str] = str) -> str:
    try:
        return how(value)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"


def _walk(loc: tuple, model: type[BaseModel]) -> tuple[tuple, list]:
    """Keys and positions as they stand in the file, and the forms that a value may have there.

    Pydantic's path also names which of several forms it tried, which nobody wrote. An unknown key has the forms of
    the mapping that it stands in.
    """
    place, forms = [], [model]
    for part in loc:
        if len(forms) > 1:
            forms = [form for form in forms if str(part).partition("[")[0] in _names(form)]
            continue
        form = forms[0] if forms else Any
        if part == "[key]":
            continue
        place.append(part)
        if _is_model(form):
            field = form.model_fields.get(part)
            forms = _forms(field.annotation) if field else forms
        else:
            mapping = issubclass(get_origin(form) or object, Mapping)
            forms = _forms(get_args(form)[-1 if mapping else 0]) if get_args(form) else []
    return tuple(place), forms


def _forms(annotation: Any) -> list:
    """What may stand for an annotation; None is no form, as it has no inside."""
    if get_origin(annotation) is Annotated:
        return _forms(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [form for part in get_args(annotation) for form in _forms(part)]
    return [] if annotation is type(None) else [annotation]


def _names(form: Any) -> set[str]:
    """What pydantic may call a form: by its class, or by a value of the key that says which it is."""
    if not _is_model(form):
        return {getattr(get_origin(form) or form, "__name__", ""), f"constrained-{getattr(form, '__name__', '')}"}
    return {form.__name__, *(str(tag) for tags in _tags([form]).values() for tag in tags)}


def _tags(forms: list) -> dict[str, list]:
    """The keys of which each form knows its own few values, and all of them."""
    models = [form.model_fields for form in forms if _is_model(form)]
    shared = {name for fields in models for name in fields if all(_is_tag(other.get(name)) for other in models)}
    return {name: sorted({tag for one in models for tag in get_args(one[name].annotation)}) for name in sorted(shared)}


def _is_tag(field: Any) -> bool:
    return field is not None and get_origin(field.annotation) is Literal


def _keys(forms: list) -> list[str]:
    return list(dict.fromkeys(key for form in forms if _is_model(form) for key in form.model_fields))


def _is_model(form: Any) -> bool:
    return isinstance(form, type) and issubclass(form, BaseModel)
