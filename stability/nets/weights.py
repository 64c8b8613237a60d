"""A net's weights as arrays and as safetensors."""

from __future__ import annotations

__all__ = ["load_weights", "save_weights", "weights_of"]

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from stability.schema import ContractError, written_whole


def weights_of(net: nn.Module) -> dict[str, np.ndarray]:
    """A net's weights as arrays, by name."""
    return {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}


def save_weights(net: nn.Module, path: str | Path) -> Path:
    """Write a net's weights as safetensors, whole or not at all."""
    with written_whole(Path(path)) as file:
        file.write(save({name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}))
    return Path(path)


def load_weights(net: nn.Module, path: str | Path) -> nn.Module:
    """Read weights that `save_weights` wrote into a net of the same shape.

    Raises
    ------
    ContractError
        When the file is missing, is no safetensors file, or is of another net.
    """
    try:
        with safe_open(path, framework="pt") as file:
            net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ContractError(file=path, expected="weights of this net", got=str(error).splitlines()[0]) from None
    return net
