"""Playbooks: what repairs a failure mode, under which conditions, at what price, and how one gets back."""

from __future__ import annotations

__all__ = [
    "ACTIONS",
    "Changed",
    "Conditions",
    "Playbook",
    "Prior",
    "Risk",
    "Step",
    "for_mode",
    "read_playbooks",
]

import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stability.remediation.verification import Verification
from stability.schema import ContractError, declared, home, load_yaml, nearest

ACTIONS = {
    "restart": "stop the entity and start it again",
    "reload": "have it read its configuration again",
    "roll_back_configuration": "go back to the configuration before the last change",
    "roll_back_model": "go back to the version of the model before the present one",
    "restore": "put back the last backup of its state",
    "clean_disk": "remove from its disk what nobody needs, and stop whatever writes it",
    "scale_out": "start one more of its kind",
    "shed_load": "take fewer requests, so that the rest is served",
    "fail_over": "let the others of its group take its requests",
    "call_webhook": "ask an automation outside to do it (StackStorm, Rundeck, Ansible)",
}
"""What a step may do, and what that is."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Sentence = Annotated[str, Field(min_length=10, max_length=600)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Changed(_Strict):
    """What must have changed for the repair to make sense: to go back to what was before is no answer where it is
    the same.

    Parameters
    ----------
    states : list of str
        Names of states of the entity, of which one must have changed; where nobody tells any of them, none must.
    within : float
        s before users began to feel it, or later. Longer where it is felt late: answers that are judged after a day.
    """

    states: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(min_length=1)
    within: float = Field(900.0, gt=0)


class Conditions(_Strict):
    """When the playbook may be chosen at all.

    Parameters
    ----------
    min_probability : float
        The least probability that one of its modes is at work on the entity.
    entities : list of str
        Patterns (`*` and `?`) of which the entity's name must match one.
    alone : bool or None
        Whether the entity must be the only one of its kind (true), must not be (false), or either.
    healthy_peers : int
        How many others of its group must be healthy.
    needs_impact : bool
        Whether users must be hurt already; else what is foreseen is reason enough.
    lasts : float
        s for which it must have lasted: what one shows before its neighbours do, such as answers that are judged one
        by one, is no fault of that one.
    changed : Changed, optional
        What must have changed shortly before.
    """

    min_probability: float = Field(0.5, ge=0, le=1)
    entities: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(["*"], min_length=1)
    alone: bool | None = None
    healthy_peers: int = Field(0, ge=0)
    needs_impact: bool = False
    lasts: float = Field(0.0, ge=0)
    changed: Changed | None = None


class Step(_Strict):
    """One thing that is done, and how it is taken back.

    Parameters
    ----------
    action : str
        One of `ACTIONS`.
    why : str
        Why this ends the failure.
    timeout : float
        s after which it counts as timed out.
    interrupts : bool
        Whether the entity serves nobody meanwhile.
    rollback : {'undo', 'none'}
        Take it back when it has not helped, or leave it.
    rollback_why : str, optional
        Needed with 'none': why there is nothing to take back.
    parameters : mapping of str to str or number
        For a webhook: what it is told besides.
    """

    action: str
    why: Sentence
    timeout: float = Field(60.0, gt=0, le=3600)
    interrupts: bool = True
    rollback: Literal["undo", "none"] = "none"
    rollback_why: Sentence | None = None
    parameters: dict[Name, str | int | float | bool] = {}

    @model_validator(mode="after")
    def _explained(self) -> Step:
        if self.rollback == "none" and self.rollback_why is None:
            raise ValueError("rollback: none needs rollback_why, the reason why there is nothing to take back")
        return self


class Prior(_Strict):
    """What is believed of the effect before anything was measured: so many repairs that helped, and that did not."""

    helped: float = Field(gt=0, le=100)
    failed: float = Field(gt=0, le=100)


class Risk(_Strict):
    """What may go wrong.

    Parameters
    ----------
    level : {'low', 'medium', 'high'}
        'high' acts by itself in a change window only.
    probability : float
        That it makes things worse.
    minutes : float
        Of impact that it then costs.
    """

    level: Literal["low", "medium", "high"]
    probability: float = Field(ge=0, le=1)
    minutes: float = Field(ge=0)


class Playbook(_Strict):
    """How some failure modes are repaired.

    Parameters
    ----------
    name : str
        Its name.
    failure_modes : list of str
        Modes that it ends, from the vocabulary of `data/rules/README.md`.
    conditions : Conditions
        When it may be chosen.
    steps : list of Step
        The next one is taken when the one before has not helped.
    expected : str
        What is seen when it works.
    verification : mapping
        Settings of the verdict, such as `hold` and `watch` in s; the verdict's own for what is not named.
    blast_radius : {'entity', 'group', 'service', 'host'}
        Who may be hurt by it.
    risk : Risk
        What may go wrong.
    cost : float
        Minutes of impact that it costs even when it goes well, the work of people included.
    prior : Prior
        Of its effect.
    cool_down : float
        s for which it is not used again on the same entity; the guards' own where that is longer.
    sources : list of str
        Where this is known from.
    """

    name: Name
    failure_modes: list[Name] = Field(min_length=1)
    conditions: Conditions = Conditions()
    steps: list[Step] = Field(min_length=1, max_length=6)
    expected: Sentence
    verification: dict[Name, float] = {}
    blast_radius: Literal["entity", "group", "service", "host"]
    risk: Risk
    cost: float = Field(ge=0)
    prior: Prior
    cool_down: float = Field(0.0, ge=0)
    sources: list[str] = []

    @model_validator(mode="after")
    def _provable(self) -> Playbook:
        """A verdict that cannot be asked for would be found out after the repair."""
        known = [one.name for one in fields(Verification)]
        for name in self.verification:
            if name not in known:
                raise ValueError(f"verification: a setting of the verdict, not {name!r}; {nearest(name, known)}")
        try:
            Verification(**self.verification)
        except ContractError as error:
            raise ValueError(f"verification: {error}") from None
        return self


def read_playbooks(
    source: str | os.PathLike | None = None, *, modes: Iterable[str] | None = None
) -> tuple[Playbook, ...]:
    """Read playbooks.

    Parameters
    ----------
    source : path, optional
        A YAML file with a list `playbooks`, or a folder of such files; without it what ships, `data/playbooks`.
    modes : iterable of str, optional
        The vocabulary; a mode that is not in it is an error.

    Returns
    -------
    tuple of Playbook
        In the order of the files' names.

    Raises
    ------
    ContractError
        With the file, the place in it, what was expected, what came, and the nearest known name.
    """
    source = home() / "data" / "playbooks" if source is None else Path(source)
    files = sorted(source.glob("*.yaml")) if source.is_dir() else [source]
    if not files:
        raise ContractError(file=source, expected="*.yaml with playbooks", got="none", remedy="see data/playbooks")
    known = None if modes is None else sorted(set(modes))
    read: dict[str, Path] = {}
    found = []
    for file in files:
        for k, playbook in enumerate(_playbooks(file)):
            place = f"playbooks.{k}.name"
            if playbook.name in read:
                got = f"{playbook.name!r} again, which stands in {read[playbook.name].name}"
                _fail(file, place, "a name of its own", got, "rename one of them")
            for n, mode in enumerate(playbook.failure_modes if known is not None else ()):
                if mode not in known:
                    place = f"playbooks.{k}.failure_modes.{n}"
                    _fail(file, place, "a failure mode", repr(mode), nearest(mode, known))
            read[playbook.name] = file
            found.append(playbook)
    return tuple(found)


def for_mode(playbooks: Sequence[Playbook], mode: str) -> tuple[Playbook, ...]:
    """Give the playbooks that end a failure mode.

    Examples
    --------
    >>> [playbook.name for playbook in for_mode(read_playbooks(), "bad_model_version")]
    ['roll-back-model']
    """
    return tuple(playbook for playbook in playbooks if mode in playbook.failure_modes)


def _playbooks(file: Path) -> list[Playbook]:
    raw = load_yaml(file)
    if not isinstance(raw, dict) or set(raw) != {"playbooks"} or not isinstance(raw["playbooks"], list):
        got = f"the keys {', '.join(map(str, raw))}" if isinstance(raw, dict) else type(raw).__name__
        _fail(file, None, "one key, playbooks, with a list", got, "see data/playbooks")
    return [_playbook(file, k, one) for k, one in enumerate(raw["playbooks"])]


def _playbook(file: Path, number: int, raw: object) -> Playbook:
    place = f"playbooks.{number}"
    if not isinstance(raw, dict):
        _fail(file, place, "a mapping", type(raw).__name__, f"its keys are {', '.join(Playbook.model_fields)}")
    playbook = declared(Playbook, raw, file=file, place=place)
    for k, step in enumerate(playbook.steps):
        if step.action not in ACTIONS:
            _fail(file, f"{place}.steps.{k}.action", "an action", repr(step.action), nearest(step.action, ACTIONS))
    return playbook


def _fail(file: Path, place: str | None, expected: str, got: object, remedy: str) -> NoReturn:
    raise ContractError(file=file, column=place, expected=expected, got=got, remedy=remedy)
