"""One training loop for nets that look at windows of a panel: views, early stopping, checkpoints, curves."""

from stability.nets.training import THREADS, Training, device_of, train
from stability.nets.weights import load_weights, save_weights, weights_of
from stability.nets.windows import Windows

__all__ = ["THREADS", "Training", "Windows", "device_of", "load_weights", "save_weights", "train", "weights_of"]
