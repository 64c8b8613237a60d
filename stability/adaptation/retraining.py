"""Whether to train again: why, on which rows, what it gains on the same later block, and what it costs; a proposal.

What is learnt from is chosen within the past: each choice of rows learns all but the last share of it and is ranked
there. The best one then learns the whole past, and is compared with the model in use on a later block that neither has
learnt, pair by pair (`evaluation.pr_auc_difference`, as `stability promote` does, which decides). Rows whose fault a
repair may have averted judge nothing, on either block, and teach what `averted` says: a model in use that warned
rightly would look wrong.

Drift alone is no reason: a model that meets other rows may be as good as before, and one that became worse may be the
best that these rows can teach. So the answer is "retrain" only where the gain is beyond chance.
"""

from __future__ import annotations

__all__ = ["CHOICES", "RECOMMENDATIONS", "Proposal", "propose", "training_rows"]

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from stability import evaluation
from stability.adaptation.averted import DEFAULT, averted, taught
from stability.evaluation import Estimate, NotEnoughEvidence
from stability.prediction.learning import learn
from stability.prediction.manner import Predictor
from stability.prediction.protocol import Fold
from stability.schema import ContractError

RECOMMENDATIONS = ("retrain", "wait", "not distinguishable", "not enough evidence")
CHOICES = {"all": None, "recent": 0.5, "weighted": 0.5}  # share of the past: that is learnt, or after which half counts
INNER = 0.3  # of the past: the last of it, on which choices of rows are ranked


class Proposal(NamedTuple):
    """What is proposed.

    Parameters
    ----------
    recommendation : str
        One of `RECOMMENDATIONS`.
    sentence : str
        Why, with the numbers.
    choices : DataFrame, index: name of a choice of rows
        `rows`, `positives`, `averted` (rows left out or relabelled), `pr_auc` on the last share of the past, `seconds`.
    chosen : str or None
    gain : DataFrame, index measure
        `challenger`, `champion`, `difference`, `lo`, `hi`, `p` for `pr_auc` and `brier`, on the later block.
    reasons : list of str
        What has drifted, or that nothing has.
    evidence : DataFrame
        `probability` of the challenger, `champion`, and `outcome`, of the rows of the later block that judge.
    """

    recommendation: str
    sentence: str
    choices: pd.DataFrame
    chosen: str | None
    gain: pd.DataFrame
    reasons: list[str]
    evidence: pd.DataFrame


def training_rows(
    moments: pd.DatetimeIndex, past: np.ndarray, name: str, share: float | None, seed: int = 0
) -> np.ndarray:
    """Say which rows of the past a choice takes.

    Parameters
    ----------
    moments : DatetimeIndex
        Of all rows.
    past : array of bool, shape (rows,)
        What may be learnt.
    name : str
        "weighted" leaves rows out by chance, the older the more: any predictor can be weighted so. Others take the
        last `share` of the past's time, or all of it where that is None.
    share : float or None
        In (0, 1]; for "weighted" the age, as a share of the past, at which half of the rows are left.
    seed : int

    Returns
    -------
    array of bool, shape (rows,)

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=10, freq="D", tz="UTC")
    >>> training_rows(days, np.arange(10) < 8, "recent", 0.5).nonzero()[0].tolist()
    [4, 5, 6, 7]
    """
    if share is not None and not 0 < share <= 1:
        raise ContractError(column=name, expected="a share of the past above 0, up to 1", got=share)
    if share is None or not past.any():
        return past.copy()
    at = moments.as_unit("us").asi8
    first, last = at[past].min(), at[past].max()
    age = (last - at) / max(last - first, 1)
    if name == "weighted":
        return past & (np.random.default_rng(seed).uniform(size=len(at)) < 0.5 ** (age / share))
    return past & (age < share)


def propose(
    fold: Fold,
    champion: pd.Series,
    make: Callable[[], Predictor],
    *,
    block: str | pd.Timedelta,
    done: pd.DataFrame | None = None,
    how: str = DEFAULT,
    said: pd.Series | None = None,
    held_out: list[str] | None = None,
    choices: Mapping[str, float | None] | None = None,
    calibration_blocks: int = 3,
    drifted: pd.DataFrame | None = None,
    decayed: pd.DataFrame | None = None,
    seed: int = 0,
) -> Proposal:
    """Propose whether to train again.

    Parameters
    ----------
    fold : Fold
        From `prediction.protocol.prepare` with ``calibration_share=0``: its test part is the later block, its training
        part the past.
    champion : Series of float64, index (entity, timestamp)
        What the model in use says of the rows of the later block, none of which it may have learnt.
    make : callable
        Makes a predictor that has not learnt, such as `learning.maker` gives.
    block : text or Timedelta
        Of time, that is drawn together: two horizons or more.
    done : DataFrame, optional
        From `averted.repairs`; without it nobody repaired anything.
    how, said, held_out
        As `how`, `probability` and `held_out` of `averted.taught`.
    choices : mapping of str to share, optional
        `CHOICES` without it; as `training_rows`.
    calibration_blocks : int
        As `blocks` of `learning.learn`.
    drifted, decayed : DataFrame, optional
        From `drift` and `performance`: the reasons.
    seed : int

    Returns
    -------
    Proposal

    Raises
    ------
    ContractError
        When the fold has rows to calibrate on, or the champion says nothing of the later block.
    """
    if fold.split.calibration.any():
        raise ContractError(file="fold", expected="calibration_share=0", got=f"{fold.split.calibration.sum()} rows")
    index = fold.features.index
    horizon = pd.Timedelta(fold.horizon, "us")
    nobody = pd.DataFrame(
        {"entity": pd.Series(dtype="str")} | {n: pd.DatetimeIndex([], tz="UTC") for n in ("start", "end")}
    )
    done = nobody if done is None else done
    told = taught(
        index,
        fold.target.y,
        done,
        horizon,
        how=how,
        usable=fold.target.usable,
        probability=said,
        held_out=held_out,
        seed=seed,
    )
    sure = fold.target.usable & (fold.target.y | averted(index, done, horizon).isna().to_numpy())
    judged = fold.judged() & sure & index.isin(champion.dropna().index)
    reasons = _reasons(drifted, decayed)
    own = fold._replace(target=fold.target._replace(y=told.labels, usable=told.rows))
    try:
        table, chosen = _ranked(own, sure, make, choices or CHOICES, told.averted, seed)
        rows = training_rows(_moments(index), own.split.train, chosen, (choices or CHOICES)[chosen], seed)
        begun = time.perf_counter()
        model = learn(
            make, own._replace(split=own.split._replace(train=rows), before=rows), blocks=calibration_blocks
        ).model
        table.loc[chosen, "seconds"] += time.perf_counter() - begun
        if not judged.any():
            raise NotEnoughEvidence("The champion said nothing of the later block's rows whose outcome is known.")
        evidence = pd.DataFrame(
            {"probability": model.predict(fold.features, rows=judged), "champion": champion.reindex(index[judged])}
        ).assign(outcome=fold.target.y[judged])
        gain = _gain(evidence, block, seed)
    except NotEnoughEvidence as error:
        return Proposal(
            RECOMMENDATIONS[3],
            f"Not enough evidence. {error}",
            pd.DataFrame(),
            None,
            pd.DataFrame(),
            reasons,
            pd.DataFrame(),
        )
    verdict, sentence = _recommended(gain, table, chosen, reasons, decayed)
    return Proposal(verdict, sentence, table, chosen, gain, reasons, evidence)


def _ranked(own: Fold, sure: np.ndarray, make, choices: Mapping, marked: int, seed: int) -> tuple[pd.DataFrame, str]:
    """Rank choices of rows on the last share of the past, where it is sure what came."""
    moments = _moments(own.features.index)
    past = own.split.train
    at = moments.as_unit("us").asi8
    edge = np.quantile(at[past], 1 - INNER)
    before, inner = past & (at < edge - own.horizon), past & (at >= edge) & sure
    outcome = pd.Series(own.target.y, own.features.index)[inner]
    rows = {}
    for name, share in choices.items():
        mine = training_rows(moments, before, name, share, seed)
        whole = training_rows(moments, past, name, share, seed) & own.target.usable
        row = {"rows": int(whole.sum()), "positives": int(own.target.y[whole].sum()), "averted": marked}
        begun = time.perf_counter()
        row["pr_auc"] = np.nan
        if _both(own, mine) and outcome.nunique() == 2:
            model = learn(make, own._replace(split=own.split._replace(train=mine), before=mine), again=False).model
            told = model.predict(own.features, rows=inner)
            row["pr_auc"] = evaluation.average_precision(told.to_numpy(), outcome.to_numpy())
        rows[name] = row | {"seconds": time.perf_counter() - begun}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("choice")
    if table["pr_auc"].isna().all():
        known = past & own.target.usable
        raise NotEnoughEvidence(
            f"The past has {int(own.target.y[known].sum())} rows with a fault ahead among {int(known.sum())}, and not "
            f"both kinds before and within its last {INNER:.0%}: no choice of rows can be ranked."
        )
    return table, str(table["pr_auc"].idxmax())


def _both(own: Fold, rows: np.ndarray) -> bool:
    labels = own.target.y[rows & own.target.usable]
    return bool(labels.any() and not labels.all())


def _gain(evidence: pd.DataFrame, block, seed: int) -> pd.DataFrame:
    settings = {"unit": "block", "block": block, "seed": seed, "resamples": 2000}
    outcome = evidence["outcome"]
    area = evaluation.pr_auc_difference(evidence["probability"], evidence["champion"], outcome, **settings)
    values = [
        evaluation.average_precision(evidence[n].to_numpy(), outcome.to_numpy()) for n in ("probability", "champion")
    ]
    squares = pd.DataFrame({n: (evidence[n] - outcome) ** 2 for n in ("probability", "champion")})
    brier = evaluation.compare(squares, "champion", higher_is_better=False, **settings).loc["probability"]
    rows = {
        "pr_auc": [*values, *area.estimate, area.p],
        "brier": [brier[name] for name in ("value", "baseline", "difference", "lo", "hi", "p")],
    }
    columns = ["challenger", "champion", "difference", "lo", "hi", "p"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype("float64").rename_axis("measure")


def _reasons(drifted: pd.DataFrame | None, decayed: pd.DataFrame | None) -> list[str]:
    told = []
    if drifted is not None:
        own = drifted[drifted["verdict"].isin(["drift", "new values", "new", "vanished"])]
        metrics = list(dict.fromkeys(own.index.get_level_values("metric")))
        most = f": {', '.join(map(str, metrics[:5]))}{' and others' * (len(metrics) > 5)}" if metrics else ""
        told.append(f"data: {len(own)} of {len(drifted)} comparisons have drifted{most}")
    if decayed is not None:
        for verdict in ("worse", "changed", "better"):
            for (window, measure), row in decayed[decayed["verdict"] == verdict].iterrows():
                told.append(
                    f"{measure} {verdict} from {window:%Y-%m-%d %H:%M} on: {row['reference']:.3g} to "
                    f"{row['value']:.3g} "
                    f"({row['difference']:+.3g}, {row['difference_lo']:+.3g} to {row['difference_hi']:+.3g})"
                )
        seen = set(decayed["verdict"])
        if not seen & {"worse", "changed", "better"}:
            none = seen == {"not enough evidence"}
            told.append(
                f"performance: not {'enough evidence' if none else 'distinguishable from before'} in any window"
            )
    return told


def _recommended(gain: pd.DataFrame, table: pd.DataFrame, chosen: str, reasons: list[str], decayed) -> tuple[str, str]:
    area, brier = gain.loc["pr_auc"], gain.loc["brier"]
    found = Estimate(area["difference"], area["lo"], area["hi"])
    gains, harms = found.lo > 0 and area["p"] <= 0.05, found.hi < 0 and area["p"] <= 0.05
    worse = decayed is not None and (decayed["verdict"] == "worse").any()
    less_true = brier["lo"] > 0
    taken, seconds = table.loc[chosen], table["seconds"].sum()
    numbers = (
        f"PR-AUC {area['challenger']:.3f} of a model of choice '{chosen}' against {area['champion']:.3f} of the one in "
        f"use on the same rows: {found.value:+.3f} ({found.lo:+.3f} to {found.hi:+.3f}), p = {area['p']:.3g}; it would "
        f"cost {taken['rows']:,.0f} rows, {taken['positives']:,.0f} of them with a fault ahead, and {seconds:.1f} s"
    )
    if gains and not less_true:
        verdict, why = RECOMMENDATIONS[0], "A model that learns again is better beyond chance"
    elif harms:
        verdict, why = RECOMMENDATIONS[1], "A model that learns again is worse beyond chance"
    elif gains:
        verdict, why = (
            RECOMMENDATIONS[1],
            "A model that learns again ranks better, but its probabilities are worse beyond chance",
        )
    elif worse:
        verdict, why = (
            RECOMMENDATIONS[2],
            "The model in use became worse, and nothing shows that these rows teach a better one",
        )
    else:
        verdict, why = (
            RECOMMENDATIONS[1],
            "Nothing shows that the model in use became worse, nor that one that learns again is better",
        )
    told = f" ({'; '.join(reasons[:3])})" if reasons else ""
    return verdict, f"{why}{told}. {numbers}."


def _moments(index: pd.MultiIndex) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(index.get_level_values("timestamp"))
