"""What users write: little on a quiet day, more when they are hurt, late, twice, and often about something else."""

from __future__ import annotations

__all__ = ["feedback_messages"]

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stability.schema import empty, validate
from stability.simulate.fleet import Fleet
from stability.simulate.load import DAY
from stability.simulate.phrases import message
from stability.simulate.streams import stream
from stability.simulate.topology import TAIL_INDEX

USERS = 6_000
HABIT = 2.5  # user number = USERS x u^HABIT: a few write often
CHANNELS = ("app", "chat", "email")
OF_CHANNEL = (0.5, 0.3, 0.2)
DELAY_MIN = {"app": 2.0, "chat": 5.0, "email": 70.0}  # median time from the trouble to the message, in min
DELAY_SPREAD = 0.9  # standard deviation of its logarithm
QUIET = {  # what people write when nothing is wrong: some complain all the same, of their own network or of a habit
    "praise": 0.22,
    "question": 0.2,
    "feature_request": 0.14,
    "billing": 0.1,
    "off_topic": 0.14,
    "failed": 0.06,
    "slow": 0.07,
    "wrong_answer": 0.07,
}
WEIGHT = {"failed": 1.0, "slow": 0.5, "wrong_answer": 0.1}  # how many of those that it befell would write
ASTRAY = 0.12  # share of those who were hurt and name something else
TWICE, ELSEWHERE = 0.05, 0.03  # share sent again on the same channel, and on another one
RATED = {"app": 0.75, "chat": 0.35, "email": 0.0}
STARS = {  # share of 1, 2, 3, 4, 5 stars
    "praise": (0.01, 0.02, 0.07, 0.3, 0.6),
    "other": (0.1, 0.15, 0.35, 0.25, 0.15),
    "hurt": (0.5, 0.27, 0.13, 0.06, 0.04),
}


@dataclass(frozen=True)
class _Trouble:
    """Somebody's reason to write: at which entity, when (s), in which words; `key` is what its draws belong to."""

    entity: str
    seconds: float
    category: str
    key: str


def feedback_messages(fleet: Fleet) -> pd.DataFrame:
    """Write what the users of the fleet say.

    Parameters
    ----------
    fleet : Fleet
        What happened.

    Returns
    -------
    DataFrame
        The contract's table of feedback, by time. `user` is a pseudonym, `category` what the text says (true or not),
        `rating` 1 to 5 in the app, 0 or 1 in the chat, none in e-mail, and often missing; `entity` is the replica that
        answered where the channel knows it (app, chat). Nothing is answered yet.
    """
    end = fleet.length * fleet.scenario.step
    sent = [row for trouble in _troubles(fleet) for row in _sent(fleet, trouble)]
    sent = sorted((row for row in sent if row["seconds"] < end), key=lambda row: (row["seconds"], row["key"]))
    if not sent:
        return empty("feedback")
    frame = pd.DataFrame(sent)
    stamps = fleet.scenario.start + pd.to_timedelta((frame["seconds"] * 1000).round(), unit="ms")
    frame = frame.assign(timestamp=stamps, feedback_id=[f"m{k:05d}" for k in range(1, len(frame) + 1)])
    return validate(frame.drop(columns=["seconds", "key"]), "feedback")


def _troubles(fleet: Fleet) -> list[_Trouble]:
    """Draw who has a reason to write: after requests that went badly, and for no reason of the fleet's."""
    scenario, asked = fleet.scenario, fleet.scenario.feedback
    served = scenario.replicas()
    entry = [k for k, name in enumerate(fleet.replicas) if scenario.services[served[name]].load is not None]
    arrivals = fleet.arrivals * scenario.step
    promised = np.array([scenario.services[s].service_level.latency for s in served.values()])[:, None]
    gone_badly = {
        "failed": np.clip(np.where(fleet.effects.down[: len(served)], 1.0, fleet.failing), 0, 1),
        "slow": np.clip(0.01 * (fleet.p99 / promised) ** TAIL_INDEX, 0, 1) * (fleet.p99 > 0.5 * promised),
        "wrong_answer": np.nan_to_num(fleet.answers.wrong),
    }
    everybody = max(float(arrivals[entry].mean(axis=1).sum()), 1e-12)
    found = []
    for k in entry:
        rates = {
            ("hurt", kind): arrivals[k] * share[k] * WEIGHT[kind] * asked.per_thousand / 1000
            for kind, share in gone_badly.items()
        }
        rates |= {
            ("quiet", kind): arrivals[k] / everybody * asked.per_day * scenario.step / DAY * part
            for kind, part in QUIET.items()
        }
        for (why, kind), rate in rates.items():
            name = fleet.replicas[k]
            rng = stream(fleet.seed, "feedback", why, kind, name)
            counts = rng.poisson(rate)
            for sample in np.flatnonzero(counts).tolist():
                for number in range(int(counts[sample])):
                    key = f"{why} {kind} {name} {sample} {number}"
                    found.append(_Trouble(name, sample * scenario.step, kind, key))
    return found


def _sent(fleet: Fleet, trouble: _Trouble) -> list[dict]:
    """Turn one reason into one message, or two."""
    rng = stream(fleet.seed, "message", trouble.key)
    number = int(USERS * rng.random() ** HABIT)
    user = hashlib.sha256(f"user {fleet.seed} {number}".encode()).hexdigest()
    language = "zh" if int(user[-4:], 16) / 0xFFFF < fleet.scenario.feedback.chinese else "en"
    hurt, category = trouble.key.startswith("hurt"), trouble.category
    if hurt and rng.random() < ASTRAY:
        category = str(rng.choice(["failed", "slow", "wrong_answer", "question"]))
    text = message(category, language, rng)
    channel = str(rng.choice(CHANNELS, p=OF_CHANNEL))
    moment = trouble.seconds + rng.random() * fleet.scenario.step
    if hurt:
        moment += 60 * DELAY_MIN[channel] * rng.lognormal(0.0, DELAY_SPREAD)
    first = {"seconds": moment, "key": trouble.key, "channel": channel, "user": f"u-{user[:8]}", "text": text}
    first |= {"category": category, "entity": trouble.entity if channel != "email" else None}
    first["rating"] = _rating(category, hurt, channel, rng)
    again = rng.random()
    if again < TWICE:
        return [first, first | {"seconds": moment + 60 * rng.exponential(8.0)}]
    if again < TWICE + ELSEWHERE:
        other = str(rng.choice([name for name in CHANNELS if name != channel]))
        where = {"channel": other, "rating": _rating(category, hurt, other, rng)}
        where["entity"] = trouble.entity if other != "email" else None
        return [first, first | where | {"seconds": moment + 60 * rng.exponential(30.0)}]
    return [first]


def _rating(category: str, hurt: bool, channel: str, rng: np.random.Generator) -> float:
    """Stars, or a thumb; whoever is hurt or complains gives few, and some press the wrong one."""
    kind = "praise" if category == "praise" else "hurt" if hurt or category in WEIGHT else "other"
    stars, given = float(rng.choice(5, p=STARS[kind]) + 1), rng.random() < RATED[channel]
    if not given:
        return np.nan
    return stars if channel == "app" else float(stars >= 3)
