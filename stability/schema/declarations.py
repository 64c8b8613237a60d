"""YAML that people write by hand: read without surprises, and written so that they can read it."""

from __future__ import annotations

__all__ = ["load_documents", "load_yaml", "write_yaml"]

import codecs
import itertools
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path

import yaml

from stability.schema.errors import ContractError
from stability.schema.store import written_whole

LARGEST = 100_000  # values of a document; the largest that people write have some thousands
WIDE = 120  # characters of a line that is written
SHOWN = 60  # characters of a value in an error
PROBE = 1 << 12  # bytes in which a foreign encoding gives itself away
# How a file begins -> its encoding, the longest mark first.
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def load_yaml(path: str | PathLike) -> object:
    """Read one YAML document of plain types; a key that stands twice is an error, not the last one's silent victory.

    Parameters
    ----------
    path : str or path
        The file, UTF-8.

    Returns
    -------
    object
        Mappings, lists, text, numbers, dates; None for an empty file.

    Raises
    ------
    ContractError
        With file and line, if the file is missing, not text, not YAML, gives a key twice, or is larger than a
        declaration can be once its aliases are written out.
    """
    return _read(Path(path), lambda loader: loader.get_single_data())


def load_documents(path: str | PathLike) -> list:
    """Read all documents of a YAML file, as `load_yaml` reads the only one.

    Parameters
    ----------
    path : str or path
        The file, UTF-8; lines of three dashes part its documents.

    Returns
    -------
    list of object
        None for an empty document.

    Raises
    ------
    ContractError
        As `load_yaml`.
    """
    return _read(Path(path), lambda loader: list(_documents(loader)))


def write_yaml(path: str | PathLike, told: Mapping, *, above: str | PathLike = "") -> None:
    """Write a mapping of plain types as YAML, whole or not at all.

    Parameters
    ----------
    path : str or path
    told : mapping
    above : str or path
        Lines that stand above it as comments; or a file, whose comments above its first key are these lines.
    """
    if isinstance(above, PathLike):
        lines = Path(above).read_text(encoding="utf-8").splitlines()
        head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    else:
        head = [f"# {line}" for line in above.splitlines()]
    text = yaml.safe_dump(dict(told), sort_keys=False, allow_unicode=True, width=WIDE)
    with written_whole(Path(path)) as file:
        file.write("\n".join([*head, text]).encode())


def _documents(loader: _Loader) -> Iterator[object]:
    while loader.check_data():
        yield loader.get_data()


def _read(path: Path, take: Callable[[_Loader], object]) -> object:
    try:
        content = path.read_bytes()
        _refuse_foreign(content, path)
        return take(_Loader(content.decode("utf-8")))
    except FileNotFoundError:
        raise ContractError(file=path, expected="a YAML file", got="no file", remedy="check the path") from None
    except OSError as error:
        got = (error.strerror or str(error)).lower()
        raise ContractError(file=path, expected="a YAML file", got=got, remedy="check path and rights") from error
    except RecursionError:
        raise ContractError(
            file=path, expected="YAML of some levels", got="hundreds nested in each other", remedy="write it flat"
        ) from None
    except UnicodeDecodeError as error:
        raise ContractError(
            file=path,
            expected="a YAML file in UTF-8",
            got=f"a byte at {error.start} that is not",
            remedy="save it as UTF-8: iconv -f LATIN1 -t UTF-8",
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        row = None if mark is None else mark.line + 1
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise ContractError(file=path, row=row, expected="YAML", got=said, remedy="mend the line") from error
    except yaml.YAMLError as error:
        raise ContractError(file=path, expected="YAML", got=str(error), remedy="write plain text") from error


def _refuse_foreign(content: bytes, path: Path) -> None:
    """Refuse what is no text, and text in which each character takes two bytes or four."""
    zeros = content[:PROBE:2].count(0), content[1:PROBE:2].count(0)
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    if encoding is None and max(zeros) > len(content[:PROBE]) // 4 and not min(zeros):
        encoding = "UTF-16BE" if zeros[0] else "UTF-16LE"  # without a mark, iconv has to be told the order
    if encoding:
        got, remedy = encoding, f"save it as UTF-8: iconv -f {encoding} -t UTF-8"
    elif content.startswith(b"PK\x03\x04"):
        got, remedy = "an Excel workbook or another zip archive", "name the YAML file, which is plain text"
    elif b"\0" in content:
        got, remedy = "a binary file, no text", "name the YAML file, which is plain text"
    else:
        return
    raise ContractError(file=path, expected="a YAML file in UTF-8", got=got, remedy=remedy)


class _Loader(yaml.SafeLoader):
    """Plain types only, each key once, and no more of it than a person could have written."""

    def compose_document(self) -> yaml.Node | None:
        node = super().compose_document()
        if node is not None and _size(node, {}) > LARGEST:
            problem = f"aliases that stand for more than {LARGEST:,} values"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:  # 2026-13-45 is no date, !!bool maybe no bool
            value = str(node.value)[:SHOWN]
            raise yaml.constructor.ConstructorError(
                None, None, f"{value!r}, which is no value ({error})", node.start_mark
            ) from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values below a node as if each alias were written out."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise yaml.composer.ComposerError(None, None, "an alias that contains itself", node.start_mark)
        return known[id(node)]
    known[id(node)] = 0
    below = itertools.chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
    known[id(node)] = 1 + sum(_size(part, known) for part in below)
    return known[id(node)]


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict:
    seen = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:bool":  # a column that is called No or On is no truth value
            key_node.tag = yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG
        key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
        if key is not None and key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key_node.value!r} twice", key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=deep)


_Loader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, lambda loader, node: _mapping(loader, node, True)
)
