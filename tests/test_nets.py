"""The training loop: windows as views, seeds that repeat, kills that lose nothing."""

import naive
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader

from stability.nets import Windows, load_weights, save_weights, train, weights_of
from stability.nets.training import _pace, _seed_of
from stability.schema import ContractError


def waves(rows=400, entities=2, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(rows * entities)
    values = np.column_stack([np.sin(t / 5), np.cos(t / 7)]) + 0.05 * rng.normal(size=(rows * entities, 2))
    return values, np.arange(entities + 1) * rows


def windows(**settings):
    return Windows(*waves(), 8, **{"later": 0.25, **settings})


def net():
    return nn.Sequential(nn.Flatten(1), nn.Linear(14, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 2))


def loss(net, batch):
    return ((net(batch[:, :-1]) - batch[:, -1]) ** 2).mean()


QUICK = {"epochs": 6, "batch": 64, "device": "cpu"}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    length=st.integers(1, 12),
    later=st.floats(0, 0.9),
)
def test_windows_lie_within_an_entity_and_share_no_row_with_those_held_back(sizes, length, later):
    starts = np.append(0, np.cumsum(sizes))
    values = np.arange(2.0 * starts[-1]).reshape(-1, 2)
    made = Windows(values, starts, length, later=later)
    trained, held = ({int(a) + k for a in part for k in range(length)} for part in (made.training, made.held))
    assert not trained & held
    entity = np.repeat(np.arange(len(sizes)), sizes)
    for first in [*made.training.tolist(), *made.held.tolist()]:
        assert len(set(entity[first : first + length])) == 1
        assert made.batch(torch.tensor([first]))[0].numpy() == pytest.approx(values[first : first + length])
    whole = Windows(values, starts, length)
    assert len(whole.training) == sum(max(size - length + 1, 0) for size in sizes)


def test_windows_are_views_of_rows_kept_once():
    made = windows()
    assert made.views.untyped_storage().data_ptr() == made.values.untyped_storage().data_ptr()
    assert made.values.untyped_storage().nbytes() == 800 * 2 * 4


def test_what_is_learnt_is_learnt_and_the_best_epoch_is_kept():
    seen = []
    made, told = train(
        net, loss, windows(), epochs=30, batch=64, device="cpu", on_epoch=lambda k, x: seen.append((k, x))
    )
    curves = told.curves
    assert curves["held"][told.best] == min(curves["held"]) < 0.2 * curves["held"][0]
    assert [k for k, _ in seen] == list(range(len(curves["training"])))
    assert not made.training
    parts = windows()
    with torch.inference_mode():
        assert float(loss(made, parts.batch(parts.held))) == pytest.approx(curves["held"][told.best], rel=1e-4)


def test_training_stops_when_what_is_held_back_gains_nothing():
    values, starts = waves()
    values[300:400] = values[700:] = 100 * np.random.default_rng(1).normal(size=(100, 2))
    _, told = train(net, loss, Windows(values, starts, 8, later=0.25), epochs=200, patience=3, rate=0.05, device="cpu")
    assert len(told.curves["training"]) < 200
    assert len(told.curves["training"]) - 1 - told.best > 3 - 1


def test_its_steps_are_those_of_the_usual_loop():
    def made():
        return nn.Sequential(nn.Flatten(1), nn.Linear(14, 16), nn.Tanh(), nn.Linear(16, 2))

    ours, _ = train(made, loss, windows(), seed=3, rate=0.01, clip=0.1, **QUICK | {"epochs": 3})
    torch.manual_seed(3)
    plain = made()
    optimizer = torch.optim.AdamW(plain.parameters(), 0.01, weight_decay=1e-4)
    first = Windows(*waves(), 8, later=0.25).training
    steps = -(-len(first) // 64)
    for epoch in range(3):
        torch.manual_seed(_seed_of(3, epoch))
        order = first[torch.randperm(len(first))].tolist()
        rates = [0.01 * _pace((epoch * steps + step) / (3 * steps)) for step in range(steps)]
        loader = DataLoader(naive.Cut(waves()[0], order, 8), batch_size=64)
        naive.train_epoch(plain, loss, loader, optimizer, 0.1, rates)
    for name, kept in weights_of(plain).items():
        assert weights_of(ours)[name] == pytest.approx(kept, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_equal_seeds_give_equal_weights_and_leave_the_callers_numbers_alone(device):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    one, two, other = (
        weights_of(train(net, loss, windows(), seed=seed, **QUICK | {"device": device})[0]) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(3), wanted)
    assert torch.get_num_threads() == threads
    for name, kept in one.items():
        assert np.array_equal(kept, two[name])
    assert any(not np.array_equal(kept, other[name]) for name, kept in one.items())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("killed_after", [0, 2, 4])
def test_a_training_that_was_killed_goes_on_to_the_same_weights(tmp_path, killed_after, device):
    quick = QUICK | {"device": device}
    whole, curves = train(net, loss, windows(), **quick)

    def killed(epoch, losses):
        if epoch == killed_after + 1:
            raise KeyboardInterrupt

    path = tmp_path / "training.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(net, loss, windows(), checkpoint=path, on_epoch=killed, **quick)
    again, told = train(net, loss, windows(), checkpoint=path, **quick)
    assert told.resumed == killed_after + 1
    assert told.curves == curves.curves
    for name, kept in weights_of(whole).items():
        assert np.array_equal(kept, weights_of(again)[name])


@pytest.mark.parametrize("device", DEVICES)
def test_a_loss_that_asks_for_a_value_is_learnt_as_one_that_does_not(device):
    def asking(net, batch):
        found = loss(net, batch)
        assert float(found.detach()) >= 0  # on a GPU Python waits for it: this cannot be recorded
        return found

    plain, asked = (train(net, one, windows(), **QUICK | {"device": device})[1] for one in (loss, asking))
    assert plain.curves["held"] == pytest.approx(asked.curves["held"], rel=1e-3)


def test_a_checkpoint_of_another_training_is_not_gone_on_from(tmp_path):
    path = tmp_path / "training.safetensors"
    train(net, loss, windows(), checkpoint=path, seed=1, **QUICK)
    assert train(net, loss, windows(), checkpoint=path, seed=2, **QUICK)[1].resumed == 0
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ContractError, match="checkpoint"):
        train(net, loss, windows(), checkpoint=path, **QUICK)


def test_weights_are_written_and_read(tmp_path):
    made, _ = train(net, loss, windows(), **QUICK)
    path = save_weights(made, tmp_path / "net.safetensors")
    read = load_weights(net(), path)
    assert all(np.array_equal(kept, weights_of(read)[name]) for name, kept in weights_of(made).items())
    with pytest.raises(ContractError, match="weights of this net"):
        load_weights(nn.Linear(1, 1), path)
    with pytest.raises(ContractError, match="weights of this net"):
        load_weights(net(), tmp_path / "none.safetensors")


@pytest.mark.parametrize("name", ["gpu", "cpu and more", *([] if torch.cuda.is_available() else ["cuda", "cuda:1"])])
def test_a_device_that_is_not_there_is_told(name):
    with pytest.raises(ContractError, match="'device'"):
        train(net, loss, windows(), **QUICK | {"device": name})


def test_a_history_without_a_window_and_a_loss_that_is_no_number_are_told():
    with pytest.raises(ContractError, match="longer history"):
        train(net, loss, Windows(np.zeros((5, 2)), np.array([0, 5]), 8), **QUICK)
    with pytest.raises(ContractError, match="finite"):
        train(net, lambda net, batch: loss(net, batch) * float("nan"), windows(), **QUICK)
    with pytest.raises(ContractError, match="length"):
        Windows(np.zeros((5, 2)), np.array([0, 5]), 0)


def test_a_checkpoint_of_another_loss_is_not_gone_on_from(tmp_path):
    path = tmp_path / "training.safetensors"
    train(net, loss, windows(), checkpoint=path, key="squares", **QUICK)
    root = {"checkpoint": path, "key": "root", **QUICK}
    assert train(net, lambda net, batch: loss(net, batch).sqrt(), windows(), **root)[1].resumed == 0
    assert train(net, loss, windows(), **root)[1].resumed == QUICK["epochs"]


@pytest.mark.parametrize("later", [0.0, 0.25])
def test_a_loss_that_is_no_number_later_on_keeps_the_weights_before(later):
    calls, whole = [], windows(later=later)

    def breaks(net, batch):
        calls.append(net.training)
        return loss(net, batch) * (float("nan") if sum(calls) > 2 * -(-len(whole.training) // 64) else 1.0)

    made, told = train(net, breaks, whole, **QUICK)
    assert told.best <= 1
    assert len(told.curves["training"]) == 3
    assert all(np.isfinite(kept).all() for kept in weights_of(made).values())


def test_a_held_back_loss_that_is_no_number_is_told():
    values, starts = waves()
    values[300:400] = values[700:] = np.inf
    with pytest.raises(ContractError, match="finite"):
        train(net, loss, Windows(values, starts, 8, later=0.25), **QUICK)
