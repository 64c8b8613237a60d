"""What is done with a batch of windows; on a GPU recorded once, and played again."""

from __future__ import annotations

__all__ = ["Step"]

import contextlib
import itertools
import warnings

import torch
from torch import nn


class Step:
    """What is done with a batch: its mean loss and, with an optimizer, a step.

    On a GPU the work of a net this small is done sooner than Python has asked for it kernel by kernel. So the work on a
    full batch is recorded once and played again (CUDA graphs). What cannot be recorded, because the loss asks for a
    tensor's value, is asked for every time.

    Parameters
    ----------
    net, loss, windows
        As in `train`.
    place : torch.device
    optimizer : AdamW, optional
        Without one, batches are judged and nothing is learnt.
    clip : float
        Largest norm of a step's gradient.
    """

    def __init__(self, net, loss, windows, place, optimizer=None, clip: float = 1.0) -> None:
        self.net, self.loss, self.windows, self.place = net, loss, windows, place
        self.optimizer, self.clip, self.graph = optimizer, clip, None

    def __call__(self, first: torch.Tensor) -> torch.Tensor:
        """Mean loss of the windows that begin at these rows."""
        if self.graph is None or first.shape != self.first.shape:
            return self._done(first)
        self.first.copy_(first)
        self.graph.replay()
        return self.found

    def pace(self, rate: float) -> None:
        """Set the rate of the next steps."""
        group = self.optimizer.param_groups[0]
        if torch.is_tensor(group["lr"]):  # read by what is recorded
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def record(self, batch: int) -> Step:
        """Record it, on a GPU; leaves weights and moments as they were."""
        if self.place.type != "cuda":
            return self
        self.net.train(self.optimizer is not None)
        self.first = torch.zeros(batch, dtype=torch.int64, device=self.place)
        before = [kept.clone() for kept in self._state()]
        with torch.cuda.device(self.place):
            if self._recordable():
                self.graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                    self.found = self._done(self.first)
        for now, was in itertools.zip_longest(self._state(), before):
            now.zero_() if was is None else now.copy_(was)  # moments begin at nothing
        return self

    def _recordable(self) -> bool:
        """Whether Python waits for the GPU nowhere; what is made at first is there afterwards."""
        here, aside, before = torch.cuda.current_stream(), torch.cuda.Stream(), torch.cuda.get_sync_debug_mode()
        aside.wait_stream(here)
        try:
            with warnings.catch_warnings(), torch.cuda.stream(aside):
                warnings.simplefilter("ignore")  # that it is a prototype
                torch.cuda.set_sync_debug_mode("error")
                for _ in range(3):
                    self._done(self.first)
        except RuntimeError:  # it does, or the loss is wrong: then the first step says so
            return False
        else:
            return True
        finally:
            torch.cuda.set_sync_debug_mode(before)
            here.wait_stream(aside)

    def _state(self) -> list[torch.Tensor]:
        moments = self.optimizer.state.values() if self.optimizer else ()
        return [*self.net.state_dict().values(), *(kept for own in moments for kept in own.values())]

    def _done(self, first: torch.Tensor) -> torch.Tensor:
        gpu = self.place.type == "cuda"
        with torch.set_grad_enabled(self.optimizer is not None), contextlib.ExitStack() as stack:
            if gpu:
                stack.enter_context(torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False))
            found = self.loss(self.net, self.windows.batch(first))
        if self.optimizer is not None:
            self.optimizer.zero_grad(set_to_none=False)
            found.backward()
            nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], self.clip)
            self.optimizer.step()
        return found.detach().float()
