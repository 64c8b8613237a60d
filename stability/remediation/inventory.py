"""Who controls what: for each entity the one way in which it is restarted, reloaded, scaled and rolled back."""

from __future__ import annotations

__all__ = [
    "Command",
    "Files",
    "Http",
    "Inventory",
    "Kubernetes",
    "Models",
    "Testbed",
    "Webhook",
    "checked",
    "read_inventory",
]

import ipaddress
import json
import os
import re
from fnmatch import fnmatchcase
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stability.schema import ContractError, declared, home, load_yaml

# What may stand in an argument list: never an option (a leading dash), never a path that climbs.
UNIT = r"^[A-Za-z0-9][A-Za-z0-9:_.@\\-]{0,254}$"  # systemd.unit(5)
CONTAINER = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"  # docker's own rule for names
LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"  # RFC 1123, what Kubernetes asks of names
CONTEXT = r"^[A-Za-z0-9][A-Za-z0-9:/@_.-]{0,252}$"  # of kubectl; an ARN is one
VARIABLE = r"^[A-Z][A-Z0-9_]{0,63}$"


def checked(url: str) -> str:
    """Give an address back that may be asked: encrypted unless it is on this machine, and without a password in it.

    Raises
    ------
    ValueError
        It may not be.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its words hold the address
        raise ValueError("an address http(s)://host[:port]/..., without a password in it") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError("an address http(s)://host[:port]/..., without a password in it")
    try:
        local = ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        local = parts.hostname == "localhost"
    if parts.scheme == "http" and not local:
        raise ValueError("https for whatever is not on this machine")
    return url


Header = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
Url = Annotated[str, AfterValidator(checked)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Testbed(_Strict):
    """The testbed's supervisor, by its address or by the folder that the testbed runs in; the name is the entity's."""

    __test__ = False  # no test, whatever pytest thinks of its name

    control: Literal["testbed"] = "testbed"
    supervisor: Url | None = None
    folder: str | None = None
    backup: str | None = None
    most: int = Field(4, ge=1, le=26)

    def address(self) -> str:
        """Where the supervisor listens.

        Raises
        ------
        ContractError
            Nothing runs there.
        """
        if self.supervisor:
            return self.supervisor.rstrip("/")
        path = home() / (self.folder or "") / "state.json"
        try:
            return f"http://127.0.0.1:{int(json.loads(path.read_text(encoding='utf-8'))['supervisor']['port'])}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            got, remedy = type(error).__name__, "stability testbed up"
            raise ContractError(file=path, expected="a testbed that runs", got=got, remedy=remedy) from None


class Command(_Strict):
    """A systemd unit or a Docker container, by the tool's own command."""

    control: Literal["systemd", "docker"]
    name: str

    @field_validator("name")
    @classmethod
    def _no_option(cls, name: str, told: ValidationInfo) -> str:
        pattern = UNIT if told.data.get("control") == "systemd" else CONTAINER
        if not re.fullmatch(pattern, name):
            raise ValueError(f"a name of the form {pattern}")
        return name


class Kubernetes(_Strict):
    """A Deployment, by kubectl; without `context` in whatever cluster it is set to, which others may change."""

    control: Literal["kubernetes"] = "kubernetes"
    deployment: str = Field(pattern=LABEL)
    namespace: str = Field("default", pattern=LABEL)
    context: str | None = Field(None, pattern=CONTEXT)
    most: int = Field(10, ge=1, le=1000)


class Http(_Strict):
    """Routes of the entity's own: each is sent an empty POST."""

    control: Literal["http"] = "http"
    reload: Url | None = None
    roll_back: Url | None = None
    shed: Url | None = None
    unshed: Url | None = None
    drain: Url | None = None
    undrain: Url | None = None
    token: str | None = Field(None, pattern=VARIABLE)  # name of the variable that holds a bearer token

    @model_validator(mode="after")
    def _of_use(self) -> Http:
        if not (self.reload or self.roll_back or self.shed or self.drain):
            raise ValueError("reload, roll_back, shed or drain, without which it can do nothing")
        return self


class Models(_Strict):
    """A model of the MLflow registry by its alias."""

    control: Literal["mlflow"] = "mlflow"
    model: str = Field(min_length=1, max_length=200)
    alias: str = Field("champion", pattern=CONTAINER)
    reload: Url | None = None  # whom to tell


class Files(_Strict):
    """A version of a file behind a link, and the last backup of a folder."""

    control: Literal["files"] = "files"
    link: str | None = None  # a symbolic link to the version in use; versions are its target's neighbours
    state: str | None = None
    backup: str | None = None
    reload: Url | None = None

    @model_validator(mode="after")
    def _of_use(self) -> Files:
        if not (self.link or (self.state and self.backup)):
            raise ValueError("link, or state and backup, without which it can do nothing")
        return self


class Webhook(_Strict):
    """An automation outside; address and keys come from the environment alone.

    Parameters
    ----------
    url : str
        Name of the variable that holds the address.
    secret : str
        Name of the variable that holds the key of the signature.
    header : str
        Which header carries it, as `sha256=<hex>` over the body.
    keys : mapping of str to str
        Further headers and the variables that hold them, such as `St2-Api-Key`.
    """

    control: Literal["webhook"] = "webhook"
    url: str = Field(pattern=VARIABLE)
    secret: str = Field(pattern=VARIABLE)
    header: Header = "X-Hub-Signature-256"
    keys: dict[Header, Annotated[str, Field(pattern=VARIABLE)]] = {}


Control = Annotated[Testbed | Command | Kubernetes | Http | Models | Files | Webhook, Field(discriminator="control")]

PLAIN = {"match", "control", "name", "deployment", "namespace", "most", "alias"}  # keys whose values are no secrets


class Entity(_Strict):
    """Patterns of entities, and their controls, of which the first that knows an action does it."""

    match: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(min_length=1)
    controls: list[Control] = Field(min_length=1)


class Inventory(_Strict):
    """All that may be touched; an entity that matches nothing is never touched."""

    entities: list[Entity] = []

    def controls(self, entity: str) -> tuple[Control, ...]:
        """Controls of an entity: those of the first entry that matches its whole name."""
        for one in self.entities:
            if any(fnmatchcase(entity, pattern) for pattern in one.match):
                return tuple(one.controls)
        return ()


def read_inventory(path: str | os.PathLike) -> Inventory:
    """Read who controls what.

    Parameters
    ----------
    path : path
        YAML with a list `entities`, each with `match` and `controls`.

    Raises
    ------
    ContractError
        With the file, the place in it, what was expected and what came.
    """
    return declared(Inventory, load_yaml(path), file=path, secret=_secret)


def _secret(place: tuple, value: object) -> bool:
    """Whether a value must not be shown; of a header, not even where it is called as what may be."""
    key = next((part for part in reversed(place) if isinstance(part, str)), None)
    return key not in PLAIN or "keys" in place or isinstance(value, list)
