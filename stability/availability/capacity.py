"""What a replica can do, and what an order of replicas would have cost and broken on recorded demand."""

from __future__ import annotations

__all__ = ["Replica", "minutes_over", "rate_of", "simulate", "start_seconds", "versus"]

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stability.availability.forecasting import regular_values
from stability.evaluation import Difference, Estimate, NotEnoughEvidence, bootstrap_interval, paired_difference
from stability.evaluation.intervals import poisson_interval
from stability.evaluation.pairs import expanded
from stability.evaluation.resampling import ratio_of_sums, require_units
from stability.schema import ContractError

WINDOW = 5.0  # s over which users judge, as the testbed's service level has it
PATIENCE = 2.0  # s after which users give up waiting, so that no queue grows beyond them
BLOCK = 600.0  # s: a day of the testbed's users


@dataclass(frozen=True)
class Replica:
    """What one replica can do.

    Parameters
    ----------
    rate : float
        Requests/s that it answers when it is never idle.
    start : float
        s from the order to the first request that it takes.
    slow_seconds : float
        s after which an answer is late.
    slow_share : float in (0, 1)
        Of the answers, that may be late.
    window : float
        s up to and with the moment that is judged, over which this share counts.
    """

    rate: float
    start: float
    slow_seconds: float = 0.25
    slow_share: float = 0.10
    window: float = WINDOW

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("slow_seconds", self.slow_seconds), ("window", self.window)):
            if not 0 < value < math.inf:
                raise ContractError(column=name, expected="a number above 0", got=value)
        if not 0 <= self.start < math.inf:
            raise ContractError(column="start", expected="seconds from 0 up", got=self.start)
        if not 0 < self.slow_share < 1:
            raise ContractError(column="slow_share", expected="a share between 0 and 1", got=self.slow_share)
        if self.usable <= 0:
            least = math.log(1 / self.slow_share) / self.slow_seconds
            raise ContractError(
                column="rate",
                expected=f"more than {least:.3g} requests/s: below, even a lone replica is late too often",
                got=self.rate,
            )

    @property
    def usable(self) -> float:
        """Requests/s up to which answers are in time: random arrivals, exponential service, one queue a replica.

        The time in such a queue and its service is exponential with rate mu - lambda (M/M/1; Kleinrock 1975, section
        3.2), so that a share s is later than t where mu - lambda = ln(1/s) / t.

        Examples
        --------
        >>> round(Replica(rate=100.0, start=5.0, slow_seconds=0.25, slow_share=0.1).usable, 2)
        90.79
        """
        return self.rate - math.log(1 / self.slow_share) / self.slow_seconds


def rate_of(requests: pd.Series, cpu: pd.Series, *, block: int = 60, confidence: float = 0.95) -> Estimate:
    """Measure how many requests a second keep a replica busy, from seconds in which it was not.

    Parameters
    ----------
    requests : Series of float64
        Requests/s that a replica answered, a row a second, of quiet times.
    cpu : Series of float64
        Share of a core that it used meanwhile.
    block : int
        Rows that are drawn together.
    confidence : float in (0, 1)

    Returns
    -------
    Estimate
        Requests/s: those answered over the processor time that they took (the utilization law; Denning, Buzen 1978, doi
        10.1145/356733.356735). It holds for a process that computes on one core, as the testbed's replicas do, with
        that core to itself; what it does when idle counts as work.

    Raises
    ------
    NotEnoughEvidence
        With fewer than five blocks in which both are known, or without any work.

    Examples
    --------
    >>> seconds = pd.Series(np.full(600, 50.0))
    >>> rate_of(seconds, seconds * 0.004).value
    250.0
    """
    pairs = pd.DataFrame({"requests": requests, "cpu": cpu}).dropna().to_numpy(dtype=float)
    if not len(pairs) or pairs[:, 1].sum() <= 0:
        raise NotEnoughEvidence("The capacity of a replica needs seconds with requests and processor time; none came.")
    length = min(block, max(1, len(pairs) // 5))
    return bootstrap_interval(ratio_of_sums, *pairs.T, block=length, confidence=confidence, vectorized=True)


def start_seconds(up: pd.Series, windows: pd.DataFrame) -> np.ndarray:
    """List how long a process was away each time it was started anew.

    Parameters
    ----------
    up : Series of float64, index timestamp
        1 while it answers, 0 while it does not, at regular steps.
    windows : DataFrame
        `start`, `end`: when it was restarted on purpose or started again at once, so that its absence is its start.

    Returns
    -------
    array of float64
        s of each absence that begins within a window (with a step to spare) and ends within the record.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=8, freq="s", tz="UTC")
    >>> up = pd.Series([1, 1, 0, 0, 0, 1, 1, 0.0], index=stamps)
    >>> start_seconds(up, pd.DataFrame({"start": [stamps[1]], "end": [stamps[7]]})).tolist()
    [3.0]
    """
    away = (up == 0).to_numpy()
    edges = np.diff(np.concatenate([[False], away, [False]]).astype(int))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    found = []
    for begin, end in zip(begins, ends, strict=True):
        stamp = up.index[begin]
        step = up.index[1] - up.index[0]
        inside = ((windows["start"] - step <= stamp) & (stamp <= windows["end"] + step)).any()
        if end < len(up) and inside:
            found.append((up.index[end] - stamp).total_seconds())
    return np.array(found, dtype=float)


def simulate(demand: pd.Series, ordered: pd.Series, replica: Replica, *, patience: float = PATIENCE) -> pd.DataFrame:
    """Serve recorded demand with so many replicas, and judge as users would: were too many answers late?

    A replica is ready `start` seconds after its order, and gone as soon as it is not ordered any more; the youngest go
    first. Requests that cannot be served at once wait, first come first served; nobody waits longer than `patience`.

    Parameters
    ----------
    demand : Series of float64, index timestamp
        Requests/s, at regular steps.
    ordered : Series of int64, index timestamp
        Of the same rows.
    replica : Replica
    patience : float
        s.

    Returns
    -------
    DataFrame, index timestamp
        `demand`, `ordered`, `ready` (replicas), `wait` (s, of who comes at the end of the step), `late` (share of the
        step's requests that wait too long), `over` (too many late ones in the `window` up to the step), `cost`
        (replica-seconds, paid from the order on). Where demand is not known nobody comes and nothing is over.

    Raises
    ------
    ContractError
        For other rows than those of the demand, or replicas that are no number of them.

    Notes
    -----
    A fluid queue: within a step requests come evenly, and all ready replicas are kept busy before one waits. A request
    is late where its wait and the service time that a share `slow_share` exceeds are longer than `slow_seconds`.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=6, freq="s", tz="UTC")
    >>> demand = pd.Series([50.0, 150, 150, 150, 150, 150], index=stamps)
    >>> ordered = pd.Series([1, 1, 2, 2, 2, 2], index=stamps)
    >>> simulate(demand, ordered, Replica(rate=100.0, start=2.0))[["ready", "wait", "over"]].to_numpy().tolist()
    [[1, 0.0, False], [1, 0.5, True], [1, 1.0, True], [1, 1.5, True], [2, 0.5, True], [2, 0.25, True]]
    """
    step = regular_values(demand)[0]
    require_positive(patience=patience)
    if not demand.index.equals(ordered.index):
        raise ContractError(column="ordered", expected="the rows of the demand", got=f"{len(ordered)} others")
    orders = ordered.to_numpy(dtype=float)
    if not (np.isfinite(orders) & (orders >= 0) & (orders == np.round(orders))).all():
        raise ContractError(column="ordered", expected="whole numbers from 0 up", got=f"{orders.min():g}")
    begins = math.ceil(replica.start / step - 1e-9)
    # ready since it is ordered without a break for `start`; the record's first order counts as given long before
    padded = pd.Series(np.concatenate([np.full(begins, orders[0]), orders]))
    ready = padded.rolling(begins + 1).min().to_numpy()[begins:]
    wanted, served = np.nan_to_num(demand.to_numpy(dtype=float)), ready * replica.rate
    wait, first, heads, queue = np.zeros(len(wanted)), np.zeros(len(wanted)), np.zeros(len(wanted)), 0.0
    for row, (rate, able) in enumerate(zip(wanted, served, strict=True)):
        first[row] = queue / able if able else (patience if queue + rate else 0.0)
        heads[row] = (queue + (rate - able) * step) / able if able else first[row]  # where it goes if nothing stops it
        queue = min(max(queue + (rate - able) * step, 0.0), patience * able)
        wait[row] = queue / able if able else first[row]
    late = _late(np.minimum(first, patience), heads, replica)
    window = max(1, round(replica.window / step))
    asked, delayed = (pd.Series(x).rolling(window, min_periods=1).sum().to_numpy() for x in (wanted, wanted * late))
    over = (delayed > replica.slow_share * asked + 1e-9) & demand.notna().to_numpy()
    columns = {"demand": demand.to_numpy(), "ordered": orders.astype(int), "ready": ready.astype(int)}
    return pd.DataFrame(columns | {"wait": wait, "late": late, "over": over, "cost": orders * step}, index=demand.index)


def _late(first: np.ndarray, last: np.ndarray, replica: Replica) -> np.ndarray:
    """Share of a step's requests, whose waits go evenly from `first` to `last`, that wait longer than they may.

    Below zero nobody waits: the queue is empty before the step is over.
    """
    allowed = max(replica.slow_seconds - math.log(1 / replica.slow_share) / replica.rate, 0.0)
    low, high = np.minimum(first, last), np.maximum(first, last)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(high > low, (high - allowed) / (high - low), (low > allowed).astype(float))
    return np.clip(share, 0.0, 1.0)


def versus(
    one: Sequence[pd.DataFrame],
    other: Sequence[pd.DataFrame],
    *,
    block: float = BLOCK,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Difference, Estimate]:
    """Compare two policies on the same demand: minutes over the service level, and what one costs of the other.

    Parameters
    ----------
    one, other : sequence of DataFrame
        From `simulate`, in the same order: several for several scales of one demand, whose minutes and costs are added
        up block by block.
    block : float
        s that are drawn together: longer than what one decision does to the next ones, best a whole season, as its
        hours differ. Whole blocks count; what is left over at the end does not.
    confidence : float in (0, 1)
        With few blocks the intervals are as wide as Student's t would have them; see `evaluation.pairs`.
    seed : int

    Returns
    -------
    minutes : Difference
        One minus the other, over the whole time, with its interval and p-value. Where nobody was over with either, the
        interval has the ends of `minutes_over`, both ways.
    cost : Estimate
        One over the other.

    Raises
    ------
    NotEnoughEvidence
        With fewer than five whole blocks.
    ContractError
        For different rows.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=6000, freq="s", tz="UTC")
    >>> demand, replica = pd.Series(150.0, index=stamps), Replica(rate=100.0, start=5.0)
    >>> two, three = (simulate(demand, pd.Series(n, index=stamps), replica) for n in (1, 2))
    >>> minutes, cost = versus([three], [two])
    >>> minutes.estimate.value, cost.value
    (-100.0, 2.0)
    """
    sums = [_blocks(runs, block) for runs in (one, other)]
    if len(one) != len(other) or sums[0].shape != sums[1].shape:
        raise ContractError(column="other", expected=f"rows of one, {sums[0].shape}", got=sums[1].shape)
    n = len(sums[0])
    minutes = [np.column_stack([part[:, 0] / 60, np.full(n, 1.0)]) for part in sums]
    difference = paired_difference(
        *minutes, lambda added: n * added[..., 0] / added[..., 1], confidence=confidence, seed=seed
    )
    if not any(part[:, 0].any() for part in sums):
        hi = minutes_over(one, block=block, confidence=confidence).hi
        difference = Difference(Estimate(0.0, -hi, hi), 1.0)
    spent, wide = [part[:, 1] for part in sums], expanded(confidence, n)
    cost = bootstrap_interval(ratio_of_sums, *spent, confidence=wide, seed=seed, vectorized=True)
    return difference, cost


def minutes_over(
    runs: Sequence[pd.DataFrame],
    *,
    block: float = BLOCK,
    window: float = WINDOW,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Add up the minutes in which users waited too long, with the interval of as much time of this kind.

    Parameters
    ----------
    runs : sequence of DataFrame
        From `simulate`, of the same rows.
    block, confidence, seed
        As in `versus`.
    window : float
        s over which users judge: nobody is over for less. Where nobody was, the interval ends at as many such times in
        every run as a Poisson count of none leaves possible, since blocks without any have nothing to draw.

    Returns
    -------
    Estimate
        min, over the whole blocks.

    Examples
    --------
    >>> stamps = pd.date_range("2026-03-01", periods=3000, freq="s", tz="UTC")
    >>> run = simulate(pd.Series(150.0, index=stamps), pd.Series(1, index=stamps), Replica(rate=100.0, start=5.0))
    >>> minutes_over([run])
    Estimate(value=50.0, lo=50.0, hi=50.0)
    """
    seconds = _blocks(runs, block)[:, 0] / 60
    n = len(seconds)
    if not seconds.any():
        require_units(n, "blocks")
        return Estimate(0.0, 0.0, poisson_interval(0, 1.0, confidence).hi * window / 60 * len(runs))
    return bootstrap_interval(lambda x: float(n * x.mean()), seconds, confidence=expanded(confidence, n), seed=seed)


def _blocks(runs: Sequence[pd.DataFrame], block: float) -> np.ndarray:
    """Seconds over and replica-seconds of each whole block, all runs together; shape (blocks, 2)."""
    if not len(runs):
        raise ContractError(column="runs", expected="at least one, from simulate", got="none")
    total = 0.0
    for run in runs:
        step = regular_values(run["demand"])[0]
        rows = max(1, round(block / step))
        whole = len(run) // rows * rows
        table = run[["over", "cost"]].to_numpy(dtype=float)[:whole] * [step, 1.0]
        total = total + table.reshape(-1, rows, 2).sum(axis=1)
    return np.atleast_2d(total)


def require_positive(**lengths: float) -> None:
    for name, length in lengths.items():
        if not 0 < length < math.inf:
            raise ContractError(column=name, expected="a number above 0", got=length)
