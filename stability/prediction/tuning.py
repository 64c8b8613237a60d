"""Settings chosen on folds of the training part: a stated budget, poor trials cut short, a killed search goes on."""

from __future__ import annotations

__all__ = ["MEASURES", "Tuned", "tune"]

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from stability.evaluation import average_precision, log_score
from stability.prediction.registry import KINDS
from stability.prediction.spaces import SPACES, Dimension, checked_space
from stability.prediction.splits import Split
from stability.schema import ContractError, one_of

if TYPE_CHECKING:
    import optuna

MEASURES: Mapping[str, tuple[Callable[[np.ndarray, np.ndarray], float], bool]] = MappingProxyType(
    {"average_precision": (average_precision, True), "log_score": (log_score, False)}
)
"""What a fold is judged by, of probabilities and outcomes, and whether more of it is better."""
DRAWN = 8  # trials before the sampler learns from them; with fewer it would follow chance
JUDGES = 5  # whole trials before one may be cut short
ERROR, FOLDS, SECONDS = "error", "folds", "seconds"  # what a trial notes beside its settings


class Tuned(NamedTuple):
    """What tuning found.

    Parameters
    ----------
    settings : dict
        The best trial's, with those that were fixed; of equal ones the earliest, so the defaults before others.
    value, spread : float
        Mean of the measure over the folds, and its standard deviation (NaN of one fold).
    default : float
        The same mean of the default settings.
    gain, gain_spread : float
        Mean and standard deviation over the folds of best minus default. Chosen as the best of many, the gain is too
        large by luck: only rows that no trial saw tell what it is worth.
    table : DataFrame
        A trial a row, in order: `state` (complete, pruned, failed), `value`, `spread`, a column a fold (NaN where it
        was cut short), `seconds`, `error`, and the settings.
    done, pruned, failed, resumed : int
        Trials that saw all folds, were cut short, broke; and those of all that an earlier call had done.
    seconds : float
        Of all trials, those of earlier calls with them.
    """

    settings: dict[str, Any]
    value: float
    spread: float
    default: float
    gain: float
    gain_spread: float
    table: pd.DataFrame
    done: int
    pruned: int
    failed: int
    resumed: int
    seconds: float


def tune(
    make: str | Callable[..., Any],
    features: pd.DataFrame | Callable[[Split], pd.DataFrame],
    happened: np.ndarray | pd.Series | pd.DataFrame,
    folds: Sequence[Split],
    *,
    trials: int = 30,
    seconds: float = 300.0,
    measure: str = "average_precision",
    space: Sequence[Dimension] | None = None,
    fixed: Mapping[str, Any] | None = None,
    first: Sequence[Mapping[str, Any]] = (),
    lives: tuple[np.ndarray, np.ndarray] | None = None,
    horizon: str = "",
    store: str | Path | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Tuned:
    """Search for the settings with the best mean over folds.

    A trial fits on the `train` rows of each fold and is judged on its `test` rows; labels of other rows are not looked
    at. The defaults are the first trial, so what comes back is on the folds never worse than they are. After each fold
    a trial is cut short whose mean so far is below the median of the others'. Equal seeds give equal trials, also where
    a killed search goes on: what a trial tries follows from the seed, its number, and the finished trials before it.

    Parameters
    ----------
    make : str or callable
        A predictor's name, or what makes one from settings; its defaults are tried first.
    features : DataFrame, shape (n, features), or callable
        A callable gets a fold and gives the features of all rows, so that what is fitted for them (templates, periods,
        scores) is fitted on the fold's `train` rows. It is called once a fold.
    happened : array or Series of bool, shape (n,), or DataFrame of bool, shape (n, modes)
        As of the predictor's `fit`; judged is whether any of them happened.
    folds : sequence of Split
        As of `time_folds` or `entity_folds`, within the training part.
    trials, seconds : int, float
        The budget; whichever ends first. Both count what earlier calls with the same `store` did. The defaults are
        tried whatever the seconds say.
    measure : {"average_precision", "log_score"}
    space : sequence of Dimension, optional
        By default that of `SPACES`.
    fixed : mapping, optional
        Settings that are not tuned, such as ``{"trees": 100}``.
    first : sequence of mapping, optional
        Settings to try right after the defaults, such as those that won last time.
    lives : (seconds, watched), optional
        For `Hazard`, as of its `fit`. Where a fold has a first moment of its test part, a life ends there as if the
        record did, so that no label reaches beyond.
    horizon : str, optional
        For `Hazard`: the one of its `edges` that `happened` is about; the last one by default.
    store : path, optional
        A folder that keeps each search in a file, JSON lines of optuna's journal, from which it goes on after a kill.
        The file's name is a hash of the predictor, the space, the folds, the seed and the data.
    seed : int
    progress : bool
        Whether to draw a bar.

    Returns
    -------
    Tuned

    Raises
    ------
    ContractError
        When the space does not fit, a fold has labels that are all alike, the defaults break, the store's file is of
        something else, or another process tunes the same.

    References
    ----------
    Bergstra et al. (2011), "Algorithms for hyper-parameter optimization" (TPE); Akiba et al. (2019),
    doi 10.1145/3292500.3330701 (optuna); Golovin et al. (2017), doi 10.1145/3097983.3098043, section 3.2.1 (median).
    """
    maker, name = (KINDS[one_of(make, KINDS, "make")], make) if isinstance(make, str) else (make, _name_of(make))
    one_of(measure, MEASURES, "measure")
    if not trials >= 1:
        raise ContractError(column="trials", expected="a number from 1 up", got=trials)
    space, fixed = SPACES.get(name, ()) if space is None else space, dict(fixed or {})
    firsts = [checked_space(maker, space, fixed), *[dict(one) for one in first]]
    _check_first(firsts, space)
    judge = _Judge(maker, fixed, features, happened, folds, measure, lives, horizon)
    key = _digest([name, space, fixed, firsts, measure, seed, horizon], judge)
    with _quiet(), _opened(store, key, MEASURES[measure][1]) as study:
        search = _Search(study, space, firsts, seed, judge)
        resumed, ended = len(search.finished()), False
        with tqdm(total=trials, initial=resumed, unit="trial", disable=not progress, leave=False) as bar:
            while not ended and len(search.finished()) < trials and (not search.finished() or search.spent < seconds):
                ended = not search.once(seconds)
                if not ended:
                    bar.set_postfix({"best": f"{study.best_value:.4g}"}, refresh=False)
                    bar.update()
        return _told(search, fixed, resumed)


class _Judge:
    """What a model with given settings is worth on a fold."""

    def __init__(self, maker, fixed, features, happened, folds, measure, lives, horizon) -> None:
        self.maker, self.fixed, self.folds = maker, fixed, list(folds)
        self.taught = happened if isinstance(happened, pd.DataFrame) else np.asarray(happened)
        self.labels, self.horizon = np.asarray(happened), horizon
        if self.labels.ndim == 2:
            self.labels = self.labels.any(axis=1)
        self.measure, self.higher = MEASURES[measure]
        if not self.folds:
            raise ContractError(column="folds", expected="one fold or more", got="none")
        for fold in self.folds:
            for part in ("train", "test"):
                rows = getattr(fold, part)
                if rows.shape != self.labels.shape:
                    expected = f"arrays over {len(self.labels)} rows"
                    raise ContractError(column="folds", expected=expected, got=f"{rows.shape} in {fold.name}")
                own = self.labels[rows]
                if own.all() or not own.any():
                    expected, got = f"rows with and without a fault ahead in the {part} part of {fold.name}", own.sum()
                    remedy = "give fewer folds, or other boundaries"
                    raise ContractError(file="labels", expected=expected, got=f"{got} of {len(own)}", remedy=remedy)
        given = [features(fold) if callable(features) else features for fold in self.folds]
        self.parts = given
        for fold, part in zip(self.folds, given, strict=True):
            if len(part) != len(self.labels):
                raise ContractError(file="features", expected=f"{len(self.labels)} rows for {fold.name}", got=len(part))
        self.lives = None if lives is None else [np.asarray(one, dtype="float64") for one in lives]

    def value(self, settings: Mapping[str, Any], k: int) -> float:
        fold, features = self.folds[k], self.parts[k]
        model = self.maker(**self.fixed, **settings)
        if self.lives is None:
            said = model.fit(features, self.taught, rows=fold.train).predict(features, rows=fold.test)
        else:
            own = features[fold.train]
            said = model.fit(own, *self.lives_of(k)).predict_all(features[fold.test])
            said = said[one_of(self.horizon, list(said), "horizon") if self.horizon else said.columns[-1]]
        return float(self.measure(said.to_numpy(), self.labels[fold.test]))

    def lives_of(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Times to a fault and of watching of the rows that are trained on, as they were known before the test part."""
        fold, (time_, known) = self.folds[k], self.lives
        time_, known = time_[fold.train], known[fold.train]
        if pd.isna(fold.test_start):
            return time_, known
        moments = self.parts[k].index[fold.train].get_level_values("timestamp")
        left = (fold.test_start - moments).total_seconds().to_numpy()
        return np.where(time_ < left, time_, np.nan), np.minimum(known, left)


class _Search:
    """Trials one after the other; each follows from the seed, its number and the finished ones before it."""

    def __init__(self, study: optuna.Study, space, firsts, seed: int, judge: _Judge) -> None:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
        from optuna.trial import TrialState

        self.study, self.firsts, self.seed, self.judge, self.states = study, firsts, seed, judge, TrialState
        self.space = {
            one.name: CategoricalDistribution(one.choices)
            if one.choices
            else (IntDistribution if one.whole else FloatDistribution)(one.low, one.high, log=one.log)
            for one in space
        }
        for left in study.get_trials(states=[TrialState.RUNNING]):  # of a process that was killed
            study.tell(left.number, state=TrialState.FAIL)
        self.spent = sum(one.user_attrs.get(SECONDS, 0.0) for one in study.trials)

    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that count: whole, cut short, or broken by their settings; not those that time or a kill ended."""
        whole = (self.states.COMPLETE, self.states.PRUNED)
        return [one for one in self.study.get_trials(False) if one.state in whole or ERROR in one.user_attrs]

    def once(self, seconds: float) -> bool:
        """Do the next trial; False where time ended it."""
        import optuna

        number, study, begun = len(self.finished()), self.study, time.perf_counter()
        drawn = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=DRAWN)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=JUDGES, n_warmup_steps=0)
        if number < len(self.firsts) and not study.get_trials(states=[self.states.WAITING]):
            study.enqueue_trial(self.firsts[number])
        trial = study.ask(self.space)
        values: list[float] = []

        def tell(state, value: float | None = None) -> None:
            took = time.perf_counter() - begun
            self.spent += took
            trial.set_user_attr(FOLDS, values)
            trial.set_user_attr(SECONDS, took)
            study.tell(trial, value, state)

        for k in range(len(self.judge.folds)):
            try:
                values.append(self.judge.value(trial.params, k))
            except ContractError as error:
                if not number:
                    tell(self.states.FAIL)
                    raise
                trial.set_user_attr(ERROR, str(error))
                tell(self.states.FAIL)
                return True
            trial.report(float(np.mean(values)), k)
            if k + 1 == len(self.judge.folds):
                break
            if trial.should_prune():
                tell(self.states.PRUNED)
                return True
            if number and self.spent + time.perf_counter() - begun > seconds:
                tell(self.states.FAIL)
                return False
        tell(self.states.COMPLETE, float(np.mean(values)))
        return True


def _told(search: _Search, fixed: dict[str, Any], resumed: int) -> Tuned:
    names, rows = [fold.name for fold in search.judge.folds], []
    for one in search.finished():
        values = one.user_attrs.get(FOLDS, [])
        mean = one.value if one.state is search.states.COMPLETE else np.nan
        spread = np.std(values, ddof=1) if len(values) == len(names) > 1 else np.nan
        state = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(one.state.name, "failed")
        row = {"state": state, "value": mean, "spread": spread}
        row |= dict(zip(names, [*values, *[np.nan] * (len(names) - len(values))], strict=True))
        row |= {SECONDS: one.user_attrs.get(SECONDS, np.nan), ERROR: one.user_attrs.get(ERROR, "")}
        rows.append(row | one.params)
    table = pd.DataFrame(rows).rename_axis("trial")
    value = table["value"] if search.judge.higher else -table["value"]
    best, default = table.loc[value.idxmax()], table.iloc[0]
    gains = (best[names] - default[names]).to_numpy(dtype="float64")
    settings = search.finished()[int(value.idxmax())].params
    counts = table["state"].value_counts().reindex(["complete", "pruned", "failed"], fill_value=0)
    gain_spread = float(np.std(gains, ddof=1)) if len(names) > 1 else np.nan
    summary = float(best["value"]), float(best["spread"]), float(default["value"]), float(gains.mean()), gain_spread
    return Tuned({**fixed, **settings}, *summary, table, *map(int, counts), resumed, float(search.spent))


# ---- the store ---------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _opened(store: str | Path | None, key: str, higher: bool) -> Iterator[optuna.Study]:
    """Open a study in its own file, held by this process alone; without a store it is in memory."""
    import optuna

    settings = {"study_name": key, "direction": "maximize" if higher else "minimize", "load_if_exists": True}
    if store is None:
        yield optuna.create_study(**settings)
        return
    path = Path(store) / f"{key}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except BlockingIOError:
            raise ContractError(file=path, expected="a search that rests", got="one at work") from None
        file.seek(0)
        whole = file.read()
        file.truncate(whole.rfind(b"\n") + 1)  # a line that a kill cut off would spoil all that follow it
        Path(f"{path}.lock").unlink(missing_ok=True)  # optuna's own, which a kill leaves behind
        try:
            backend = optuna.storages.journal.JournalFileBackend(str(path))
            study = optuna.create_study(storage=optuna.storages.JournalStorage(backend), **settings)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = "remove the file; the search begins anew"
            got = f"{type(error).__name__}: {error}"
            raise ContractError(file=path, expected="a search's journal", got=got, remedy=remedy) from None
        yield study


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _digest(said: list[Any], judge: _Judge) -> str:
    """Hash what a search depends on; of the data no more than the rows of its folds."""
    digest = hashlib.sha256(json.dumps(said, default=str).encode())
    for k, (fold, part) in enumerate(zip(judge.folds, judge.parts, strict=True)):
        used = fold.train | fold.test
        digest.update(np.packbits(fold.train).tobytes() + np.packbits(fold.test).tobytes())
        digest.update(json.dumps([*map(str, part.columns)]).encode() + np.asarray(judge.taught)[used].tobytes())
        digest.update(np.ascontiguousarray(part[used].to_numpy(dtype="float64")).data)
        for one in judge.lives_of(k) if judge.lives is not None else ():
            digest.update(np.ascontiguousarray(one).data)
    return digest.hexdigest()[:32]


def _name_of(make: Callable[..., Any]) -> str:
    return getattr(make, "name", None) or f"{make.__module__}.{make.__qualname__}"


def _check_first(firsts: list[dict[str, Any]], space: Sequence[Dimension]) -> None:
    for settings in firsts[1:]:
        for one in space:
            if not one.holds(settings.get(one.name)):
                got = f"{one.name} = {settings.get(one.name)}"
                raise ContractError(column="first", expected=f"a value for {one}", got=got)
        if len(settings) > len(space):
            raise ContractError(column="first", expected=f"{[one.name for one in space]}", got=f"{list(settings)}")
