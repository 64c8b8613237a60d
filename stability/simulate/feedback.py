"""What users write: little on a quiet day, more when they are hurt, late, twice, and often about something else."""

from __future__ import annotations

__all__ = ["feedback_messages"]

import numpy as np
import pandas as pd

from stability.schema import empty, validate
from stability.simulate.fleet import Fleet
from stability.simulate.load import DAY
from stability.simulate.streams import stream
from stability.simulate.topology import TAIL_INDEX
from stability.simulate.writing import QUIET, WEIGHT, Trouble, messages


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
    step, chinese = fleet.scenario.step, fleet.scenario.feedback.chinese
    end, sent = fleet.length * step, []
    for key, trouble in _troubles(fleet).items():
        rng = stream(fleet.seed, "message", key)
        written = messages(trouble, rng, seed=fleet.seed, chinese=chinese, within=step)
        sent += [row | {"key": key} for row in written]
    sent = sorted((row for row in sent if row["seconds"] < end), key=lambda row: (row["seconds"], row["key"]))
    if not sent:
        return empty("feedback")
    frame = pd.DataFrame(sent)
    stamps = fleet.scenario.start + pd.to_timedelta((frame["seconds"] * 1000).round(), unit="ms")
    frame = frame.assign(timestamp=stamps, feedback_id=[f"m{k:05d}" for k in range(1, len(frame) + 1)])
    return validate(frame.drop(columns=["seconds", "key"]), "feedback")


def _troubles(fleet: Fleet) -> dict[str, Trouble]:
    """Draw who has a reason to write, by the key of its draws: after bad requests, and for no reason of the fleet's."""
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
    found = {}
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
                    found[key] = Trouble(name, sample * scenario.step, kind, why == "hurt")
    return found
