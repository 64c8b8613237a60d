"""YAML that people write by hand: read without surprises."""

from __future__ import annotations

__all__ = ["load_yaml"]

from os import PathLike
from pathlib import Path

import yaml

from stability.schema.errors import ContractError


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
        With file and line, if the file is missing, not text, not YAML, or gives a key twice.
    """
    path = Path(path)
    try:
        return _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise ContractError(file=path, expected="a YAML file", got="no file") from None
    except UnicodeDecodeError as error:
        raise ContractError(
            file=path, expected="a YAML file in UTF-8", got=f"a byte at {error.start} that is not"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        row = None if mark is None else mark.line + 1
        raise ContractError(file=path, row=row, expected="YAML", got=str(error.problem or error.context)) from error
    except yaml.YAMLError as error:
        raise ContractError(file=path, expected="YAML", got=str(error)) from error


class _Loader(yaml.SafeLoader):
    """Plain types only, and each key once."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict:
    seen = set()
    for key_node, _ in node.value:
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
