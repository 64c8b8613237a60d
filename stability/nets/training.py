"""The training loop: early stopping, checkpoints, curves."""

from __future__ import annotations

__all__ = ["Training", "device_of", "train"]

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from tqdm.auto import tqdm

from stability.nets.step import Step
from stability.nets.windows import Windows
from stability.schema import ContractError, written_whole

THREADS = 4  # at most: small nets gain nothing from more, and take the machine from everybody else
BEST, NET, MOMENTS = "best.", "net.", "moments."  # what a tensor of a checkpoint is of


class Training(NamedTuple):
    """How a training went.

    Parameters
    ----------
    curves : dict of list of float
        ``training`` and ``held``: mean loss of each epoch; ``held`` is empty where nothing was held back.
    best : int
        Epoch whose weights the net has now, from 0.
    seconds : float
        Of the epochs of this process.
    windows_per_second : float
        Trained on.
    device : str
    resumed : int
        Epochs that a checkpoint had already.
    """

    curves: dict[str, list[float]]
    best: int
    seconds: float
    windows_per_second: float
    device: str
    resumed: int


def device_of(name: str = "auto") -> torch.device:
    """Choose where to compute: a name of torch, or ``auto``, the GPU where there is one.

    Raises
    ------
    ContractError
        For a name that torch does not know, and for a GPU where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(name)
    except RuntimeError:
        raise ContractError(column="device", expected="auto, cpu, cuda or another of torch's", got=name) from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ContractError(column="device", expected="a GPU that torch sees", got="none", remedy="say auto or cpu")
    return place


def train(
    make: Callable[[], nn.Module],
    loss: Callable[[nn.Module, torch.Tensor], torch.Tensor],
    windows: Windows,
    *,
    epochs: int = 30,
    patience: int = 5,
    batch: int = 256,
    every: int = 1,
    rate: float = 3e-3,
    decay: float = 1e-4,
    clip: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    checkpoint: Path | None = None,
    key: str = "",
    on_epoch: Callable[[int, Mapping[str, float]], None] | None = None,
    progress: bool = False,
) -> tuple[nn.Module, Training]:
    """Train a net on windows until the windows that are held back are foretold no better.

    Equal seeds, data and settings give equal weights on the same device with the same number of threads, also when the
    training was killed and goes on from its checkpoint.

    Parameters
    ----------
    make : callable
        Makes the net; is called with torch's generator seeded.
    loss : callable
        Of the net and a batch of windows, (windows, length, metrics) of float32: the mean loss, a scalar.
    windows : Windows
        Those held back decide when to stop and which weights are kept; without any, the last weights are.
    epochs, patience : int
        At most so many passes; stop after so many without a new best.
    batch : int
        Windows of a step.
    every : int
        An epoch takes one in so many of the windows, others each time: where a window's loss is over all of its rows,
        its neighbours say nearly the same.
    rate, decay : float
        Of AdamW, with a rate that rises and falls once.
    clip : float
        Largest norm of a step's gradient.
    seed : int
    device : str
        As in `device_of`. On a GPU, forward passes are in bfloat16, and the work on a batch is recorded once.
    checkpoint : Path, optional
        Written after each epoch, whole or not at all; read when it is there and of the same training: the same windows,
        settings, first weights and `key`. It is for the caller to remove.
    key : str
        What else tells this training from another one, such as the name of the loss and what it is set to.
    on_epoch : callable, optional
        Of the epoch and its losses, such as ``lambda epoch, losses: mlflow.log_metrics(losses, step=epoch)``.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    net, Training

    Raises
    ------
    ContractError
        Without a window to train on, when a loss is no number in the first epoch, and for a checkpoint that cannot be
        read. A loss that is no number later on ends the training; the weights before are kept.
    """
    if not len(windows.training):
        expected = f"an entity with {windows.length} rows or more that are not held back"
        raise ContractError(file="windows", expected=expected, got="none", remedy="give a longer history")
    place = device_of(device)
    with _seeded(seed), _threads():
        net = make().to(place)
        taken = math.ceil(len(windows.training) / every)
        steps, held = math.ceil(taken / batch), windows.held[::every]
        weights = _at_once(net) if place.type == "cpu" else list(net.parameters())
        gpu = place.type == "cuda"
        pace = torch.tensor(rate, device=place) if gpu else rate
        optimizer = torch.optim.AdamW(weights, pace, weight_decay=decay, fused=True, capturable=gpu)
        run = _Run(net, optimizer)
        if checkpoint is not None:
            settings = (epochs, patience, batch, every, rate, decay, clip, seed, str(place), key)
            print_of = _fingerprint(net, windows, *settings)
            if Path(checkpoint).exists():
                run.resume(Path(checkpoint), print_of)
        resumed, begun = run.epoch, time.perf_counter()
        windows.to(place)
        learning = Step(net, loss, windows, place, optimizer, clip).record(min(batch, taken))
        judging = Step(net, loss, windows, place).record(min(batch, max(len(held), 1)))
        with tqdm(total=epochs, initial=run.epoch, unit="epoch", disable=not progress, leave=False) as bar:
            while run.epoch < epochs and run.epoch - run.best_at <= patience and run.sound:
                torch.manual_seed(_seed_of(seed, run.epoch))
                shuffled = windows.training[torch.randperm(len(windows.training))[:taken]]
                rates = [rate * _pace((run.epoch * steps + step) / (epochs * steps)) for step in range(steps)]
                losses = {"training": _epoch(learning, shuffled, batch, rates)}
                if len(held):
                    losses["held"] = _epoch(judging, held, batch)
                if run.epoch == 0 and not all(map(math.isfinite, losses.values())):
                    raise ContractError(file="loss", expected="finite numbers", got=losses)
                run.note(losses)
                if on_epoch is not None:
                    on_epoch(run.epoch - 1, losses)
                if checkpoint is not None:
                    run.keep(Path(checkpoint), print_of)
                bar.set_postfix({name: f"{value:.4g}" for name, value in losses.items()}, refresh=False)
                bar.update()
        seconds = time.perf_counter() - begun
        net.load_state_dict(run.best)
    done = (run.epoch - resumed) * taken
    speed = done / seconds if done else 0.0
    return net.eval(), Training(run.curves, run.best_at, seconds, speed, str(place), resumed)


class _Run:
    """What has to survive a kill: weights, moments, the best weights so far, and the curves."""

    def __init__(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.net, self.optimizer = net, optimizer
        self.epoch, self.best_at, self.curves = 0, 0, {"training": [], "held": []}
        self.sound = True  # whether the losses are numbers
        self.best = _copied(net.state_dict())

    def note(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self.curves[name].append(value)
        self.sound = all(map(math.isfinite, losses.values()))
        judged = self.curves["held"] or [-float(len(self.curves["training"]))]  # without judges the last is the best
        if self.sound and judged[-1] <= min(judged):
            self.best, self.best_at = _copied(self.net.state_dict()), self.epoch
        self.epoch += 1

    def keep(self, path: Path, print_of: str) -> None:
        tensors = {NET + name: value for name, value in self.net.state_dict().items()}
        tensors |= {BEST + name: value for name, value in self.best.items()}
        for k, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"{MOMENTS}{k}.{name}": torch.as_tensor(value) for name, value in moments.items()}
        said = {"of": print_of, "epoch": self.epoch, "best_at": self.best_at, "curves": self.curves}
        with written_whole(path) as file:
            file.write(save({k: v.contiguous().cpu() for k, v in tensors.items()}, {"said": json.dumps(said)}))

    def resume(self, path: Path, print_of: str) -> None:
        tensors, said = _read(path)
        if said.get("of") != print_of:  # of another training: begin anew
            return
        self.epoch, self.best_at, self.curves = said["epoch"], said["best_at"], said["curves"]
        self.net.load_state_dict(_named(tensors, NET))
        self.best = _copied(_named(tensors, BEST))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _named(tensors, MOMENTS).items():
            number, key = name.split(".")
            moments.setdefault(int(number), {})[key] = value
        known = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": moments, "param_groups": known["param_groups"]})


def _epoch(step: Step, first: torch.Tensor, batch: int, rates: list[float] | None = None) -> float:
    """Mean loss over windows; with rates, after a step for each batch."""
    step.net.train(rates is not None)
    first = first.to(step.place)
    total = torch.zeros((), device=step.place)
    for k, part in enumerate(first.split(batch)):
        if rates is not None:
            step.pace(rates[k])
        total += step(part) * len(part)
    return float(total) / len(first)


def _at_once(net: nn.Module) -> list[nn.Parameter]:
    """Lay all weights into one tensor, and their gradients into another, so that an optimizer's step is a few calls."""
    own = [weight for weight in net.parameters() if weight.requires_grad]
    sizes = [weight.numel() for weight in own]
    flat = nn.Parameter(torch.cat([weight.detach().reshape(-1) for weight in own]))
    flat.grad = torch.zeros_like(flat)
    for weight, value, slope in zip(own, flat.detach().split(sizes), flat.grad.split(sizes), strict=True):
        weight.data, weight.grad = value.view_as(weight), slope.view_as(weight)
    return [flat]


def _pace(share: float) -> float:
    """Rate of a step as a share of the highest: up over a tenth of the training, down along a cosine."""
    return min(share / 0.1, 1.0) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))) + 1e-3


def _seed_of(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, THREADS, os.cpu_count() or 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fingerprint(net: nn.Module, windows: Windows, *settings) -> str:
    """What training this is: a checkpoint of another one is of no use."""
    shapes = {name: list(value.shape) for name, value in net.state_dict().items()}
    digest = hashlib.sha256(json.dumps([windows.length, shapes, *settings]).encode())
    for value in [*net.state_dict().values(), windows.values, windows.training, windows.held]:
        digest.update(memoryview(np.atleast_1d(value.detach().cpu().contiguous().numpy())).cast("B"))
    return digest.hexdigest()


def _copied(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}


def _named(tensors: Mapping[str, torch.Tensor], group: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(group): value for name, value in tensors.items() if name.startswith(group)}


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["said"])  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        remedy = "remove the file; the training begins anew"
        raise ContractError(file=path, expected="a checkpoint", got=type(error).__name__, remedy=remedy) from None
