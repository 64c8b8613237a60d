"""How users write: how many of the hurt do, what else is on their minds, where, how late, and how often again."""

from __future__ import annotations

__all__ = ["CHANNELS", "QUIET", "WEIGHT", "Trouble", "messages"]

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from stability.simulate.phrases import message

USERS = 6_000
HABIT = 2.5  # user number = USERS x u^HABIT: a few write often
CHANNELS = ("app", "chat", "email")
OF_CHANNEL = (0.5, 0.3, 0.2)
DELAY_MIN = {"app": 2.0, "chat": 5.0, "email": 70.0}  # median time from the trouble to the message, in min
DELAY_SPREAD = 0.9  # standard deviation of its logarithm
AGAIN_MIN, ELSEWHERE_MIN = 8.0, 30.0  # mean time to the same message once more, and on another channel, in min
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
class Trouble:
    """Somebody's reason to write.

    Parameters
    ----------
    entity : str
        Where it was.
    seconds : float
        When it began, in s.
    category : str
        What it is: one of `stability.simulate.phrases.CATEGORIES`.
    hurt : bool
        Whether it befell the user, or is just on his mind.
    """

    entity: str
    seconds: float
    category: str
    hurt: bool


def messages(
    trouble: Trouble, rng: np.random.Generator, *, seed: int, chinese: float, within: float = 1.0, pace: float = 1.0
) -> list[dict]:
    """Turn one reason into one message, or two.

    Parameters
    ----------
    trouble : Trouble
        The reason.
    rng : numpy.random.Generator
        Draws who writes, what, where and when.
    seed : int
        Of the pseudonyms.
    chinese : float, in [0, 1]
        Share of the users who write Chinese; the others write English.
    within : float
        Seconds from its begin in which the trouble befell the user.
    pace : float
        Length of a minute of these users, as a share of 60 s.

    Returns
    -------
    list of dict
        `seconds` (when it is sent) and the contract's `channel`, `user` (a pseudonym), `text`, `category` (what the
        text says, true or not), `entity` (None in e-mail, which does not know it) and `rating` (1 to 5 in the app, 0 or
        1 in the chat, NaN where none was given).

    Examples
    --------
    >>> trouble = Trouble("model-a", 100.0, "slow", hurt=True)
    >>> [sent] = messages(trouble, np.random.default_rng(1), seed=1, chinese=0.0)
    >>> sent["channel"] in CHANNELS, sent["seconds"] > 100
    (True, True)
    """
    number = int(USERS * rng.random() ** HABIT)
    user = hashlib.sha256(f"user {seed} {number}".encode()).hexdigest()
    language = "zh" if int(user[-4:], 16) / 0xFFFF < chinese else "en"
    hurt, category = trouble.hurt, trouble.category
    if hurt and rng.random() < ASTRAY:
        category = str(rng.choice(["failed", "slow", "wrong_answer", "question"]))
    text = message(category, language, rng)
    channel = str(rng.choice(CHANNELS, p=OF_CHANNEL))
    moment = trouble.seconds + rng.random() * within
    if hurt:
        moment += pace * 60 * DELAY_MIN[channel] * rng.lognormal(0.0, DELAY_SPREAD)
    first = {"seconds": moment, "channel": channel, "user": f"u-{user[:8]}", "text": text, "category": category}
    first["entity"] = trouble.entity if channel != "email" else None
    first["rating"] = _rating(category, hurt, channel, rng)
    again = rng.random()
    if again < TWICE:
        return [first, first | {"seconds": moment + pace * 60 * rng.exponential(AGAIN_MIN)}]
    if again < TWICE + ELSEWHERE:
        other = str(rng.choice([name for name in CHANNELS if name != channel]))
        where = {"channel": other, "rating": _rating(category, hurt, other, rng)}
        where["entity"] = trouble.entity if other != "email" else None
        return [first, first | where | {"seconds": moment + pace * 60 * rng.exponential(ELSEWHERE_MIN)}]
    return [first]


def _rating(category: str, hurt: bool, channel: str, rng: np.random.Generator) -> float:
    """Stars, or a thumb; whoever is hurt or complains gives few, and some press the wrong one."""
    kind = "praise" if category == "praise" else "hurt" if hurt or category in WEIGHT else "other"
    stars, given = float(rng.choice(5, p=STARS[kind]) + 1), rng.random() < RATED[channel]
    if not given:
        return math.nan
    return stars if channel == "app" else float(stars >= 3)
