"""Packaged predictors: what comes back in another process gives the same numbers, and nothing but data is taken."""

import json
import pickle
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier
from skops import io

from stability.prediction import packaging
from stability.prediction.calibrated import Calibrated
from stability.prediction.hazard import Hazard
from stability.prediction.registry import PREDICTORS
from stability.schema import ContractError

NETS = ("lstm", "convolution")
QUICK = {name: {"trees": 30} for name in ("random_forest", "gradient_boosting", "xgboost")}
QUICK |= {name: {"window": 3, "hidden": 8, "epochs": 3, "device": "cpu"} for name in NETS}
QUICK["pooled"] = {"members": [{"predictor": name, **QUICK[name]} for name in ("xgboost", "lstm")]}


def panel(entities=4, count=150, seed=0):
    """Features of a small fleet, what happened, and the time to it."""
    rng = np.random.default_rng(seed)
    stamps = pd.date_range("2026-01-01", periods=count, freq="h", tz="UTC", unit="us")
    index = pd.MultiIndex.from_product([[f"e{k}" for k in range(entities)], stamps], names=["entity", "timestamp"])
    columns = ["load", "heat", "queue"]
    features = pd.DataFrame(rng.normal(size=(len(index), 3)), index, columns)
    features["fault__since__30D"] = rng.exponential(1e5, size=len(index))
    features.iloc[::7, 2] = np.nan
    odds = 2 * features["load"] + features["heat"] - 2
    return features, (rng.random(len(index)) < 1 / (1 + np.exp(-odds))).to_numpy()


def fitted(name):
    features, happened = panel()
    if name == "hazard":
        rng = np.random.default_rng(1)
        seconds = np.where(happened, rng.uniform(1, 86_400, len(features)), np.nan)
        return Hazard(edges=["6h", "24h"], trees=30).fit(features, seconds, np.full(len(features), 2e5))
    if name == "calibrated":
        return Calibrated(fitted("xgboost"), "isotonic").fit(features, happened)
    return PREDICTORS[name](**QUICK.get(name, {})).fit(features, happened)


every = pytest.mark.parametrize("name", [*PREDICTORS, "hazard", "calibrated"])
IN_ANOTHER_PROCESS = """
import json, sys
from pathlib import Path
import pandas as pd
from stability.prediction import packaging
features = pd.read_parquet(sys.argv[1])
found = {}
for folder in Path(sys.argv[2]).iterdir():
    served = packaging._load_pyfunc(folder)
    said = served.predict(features)
    assert said.index.equals(features.index)
    found[folder.name] = [x.hex() for x in said]
print(json.dumps(found))
"""


def test_another_process_gives_the_same_numbers_to_the_bit(tmp_path):
    later, _ = panel(seed=3)
    later.to_parquet(tmp_path / "later.parquet")
    expected = {}
    for name in [*PREDICTORS, "hazard", "calibrated"]:
        model = fitted(name)
        model.save(tmp_path / "kept" / name)
        expected[name] = [x.hex() for x in model.predict(later)]
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, tmp_path / "later.parquet", tmp_path / "kept"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


@every
def test_missing_columns_are_named_and_unknown_values_taken(name, tmp_path):
    features, _ = panel()
    served = packaging.Served(packaging.read(fitted(name).save(tmp_path / "kept")))
    assert served.predict(features.assign(load=np.nan)).between(0, 1).all()
    with pytest.raises(ContractError, match="heat"):
        served.predict(features.drop(columns="heat"))
    with pytest.raises(ContractError, match="named columns"):
        served.predict(features.to_numpy())
    assert served.predict(features.iloc[:0]).empty


@every
def test_what_a_predictor_needs_is_pinned(name, tmp_path):
    pins = packaging.requirements(fitted(name).save(tmp_path / "kept"))
    names = {pin.partition("==")[0] for pin in pins}
    assert all("==" in pin and "+" not in pin for pin in pins)
    assert {"numpy", "pandas", "scikit-learn", "mlflow"} <= names
    assert bool(names & {"xgboost", "xgboost-cpu"}) == (name in ("xgboost", "hazard", "calibrated", "pooled"))
    assert ("torch" in names) == (name in (*NETS, "pooled"))
    assert "stability" not in names, "a name that is on no index must never be asked for there"


@pytest.mark.parametrize("name", [*NETS, "pooled"])
def test_rows_before_a_row_come_from_index_or_columns_in_any_order(name, tmp_path):
    features, _ = panel(entities=3, count=20)
    model = fitted(name)
    served = packaging.Served(packaging.read(model.save(tmp_path / "kept")))
    expected = model.predict(features)
    pd.testing.assert_series_equal(served.predict(features), expected, rtol=0, atol=0)
    columns = features.reset_index()
    assert served.predict(columns).tolist() == expected.tolist()
    text = columns.assign(timestamp=columns["timestamp"].map(lambda moment: moment.isoformat()))
    assert served.predict(text).tolist() == expected.tolist(), "as JSON brings it"
    mixed = features.sample(frac=1.0, random_state=1)
    pd.testing.assert_series_equal(served.predict(mixed), expected[mixed.index], rtol=1e-12)
    one = features.loc["e1"]
    alone = served.predict(one)
    assert alone.index.equals(one.index)
    assert alone.tolist() == pytest.approx(expected.loc["e1"].tolist(), rel=1e-12)
    with pytest.raises(ContractError, match="rows before a row"):
        served.predict(features.reset_index(drop=True))
    with pytest.raises(ContractError, match="one row for each"):
        served.predict(pd.concat([features, features.iloc[:1]]))


def test_others_need_to_know_nobody(tmp_path):
    features, _ = panel()
    model = fitted("xgboost")
    served = packaging.Served(packaging.read(model.save(tmp_path / "kept")))
    bare = features.reset_index(drop=True)
    assert served.predict(bare[bare.columns[::-1]].assign(another=1.0)).tolist() == model.predict(features).tolist()


def test_a_hazard_model_is_asked_for_one_of_its_horizons(tmp_path):
    features, _ = panel()
    model = fitted("hazard")
    served = packaging.Served(packaging.read(model.save(tmp_path / "kept")))
    whole = model.predict_all(features)
    assert served.predict(features, {"horizon": "6h"}).tolist() == whole["6h"].tolist()
    assert served.predict(features).tolist() == whole["24h"].tolist()
    with pytest.raises(ContractError, match="6h"):
        served.predict(features, {"horizon": "5h"})


def test_what_is_no_data_is_not_looked_at(tmp_path):
    folder = fitted("logistic").save(tmp_path / "kept")
    digest = packaging.contents_sha256(folder)
    shutil.copytree(folder, tmp_path / "copy")
    assert packaging.contents_sha256(tmp_path / "copy") == digest, "wherever it lies"
    for name, content in (("model.pkl", pickle.dumps(1)), ("loader.py", b"print(1)"), (".hidden", b"")):
        (folder / name).write_bytes(content)
        with pytest.raises(ContractError, match="only files of data"):
            packaging.read(folder)
        (folder / name).unlink()
    (folder / "link.json").symlink_to("/etc/passwd")
    with pytest.raises(ContractError, match="only files of data"):
        packaging.read(folder)
    (folder / "link.json").unlink()
    assert packaging.contents_sha256(folder) == digest
    with pytest.raises(ContractError, match="folder"):
        packaging.read(tmp_path / "nowhere")


class Evil:
    """Says aloud when it is unpickled."""

    def __reduce__(self):
        return (print, ("UNPICKLED",))


def test_pickle_under_any_name_is_refused(tmp_path, capfd):
    plain = {"xgboost": "model.json", "random_forest": "model.skops", "lstm": "weights.safetensors"}
    for name, file in {**plain, "logistic": "learnt.npz", "calibrated": "calibration.npz"}.items():
        folder = fitted(name).save(tmp_path / name)
        (folder / file).write_bytes(pickle.dumps(Evil()))
        with pytest.raises(ContractError):
            packaging.read(folder)
    folder = fitted("logistic").save(tmp_path / "arrays")
    np.savez(folder / "learnt.npz", weights=np.array([Evil()], dtype=object), middle=np.zeros(4), spread=np.ones(4))
    with pytest.raises(ContractError, match="allow_pickle"):
        packaging.read(folder)
    assert "UNPICKLED" not in capfd.readouterr().out


def test_types_beyond_the_list_are_refused(tmp_path):
    folder = fitted("gradient_boosting").save(tmp_path / "kept")
    io.dump({"tree": DecisionTreeClassifier(), "evil": Evil}, folder / "model.skops")
    with pytest.raises(ContractError, match="Evil"):
        packaging.read(folder)
    with zipfile.ZipFile(folder / "model.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps({"__class__": "system", "__module__": "os", "__loader__": "X"}))
    with pytest.raises(ContractError):
        packaging.read(folder)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"learner": {}}', '{"learner": 1, "version": [3, 2, 0]}'])
def test_a_booster_of_garbage_is_refused(text, tmp_path):
    folder = fitted("xgboost").save(tmp_path / "kept")
    (folder / "model.json").write_text(text)
    with pytest.raises(ContractError):
        packaging.read(folder)


def test_whole_files_of_two_predictors_are_no_predictor(tmp_path):
    features, happened = panel()
    wide = PREDICTORS["logistic"]().fit(features, happened).save(tmp_path / "wide")
    PREDICTORS["logistic"]().fit(features[["load"]], happened).save(tmp_path / "narrow")
    shutil.copy(tmp_path / "narrow" / "learnt.npz", wide)
    with pytest.raises(ContractError, match="files of one predictor"):
        packaging.read(wide)


@given(st.data())
def test_a_single_altered_byte_is_told(tmp_path_factory, data):
    folder = fitted_once(tmp_path_factory)
    digest = packaging.contents_sha256(folder)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])
    try:
        with pytest.raises(ContractError, match="sha256"):
            packaging.read(folder, sha256=digest)
    finally:
        path.write_bytes(whole)
    packaging.read(folder, sha256=digest)


def fitted_once(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "once"
    return folder if folder.exists() else fitted("time_since").save(folder)


def test_mlflows_own_file_tells_of_an_alteration(tmp_path):
    model = tmp_path / "model"
    folder = fitted("logistic").save(model / "data" / "predictor")
    digest = packaging.contents_sha256(folder)
    (model / "MLmodel").write_text(json.dumps({"metadata": {packaging.DIGEST: digest}}))
    packaging._load_pyfunc(str(folder))
    said = json.loads((folder / "predictor.json").read_text())
    (folder / "predictor.json").write_text(json.dumps({**said, "base_rate": 0.9}))
    with pytest.raises(ContractError, match="altered"):
        packaging._load_pyfunc(str(folder))
