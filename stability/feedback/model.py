"""The classifier that is in use: learnt from the development set once, kept in the workbench's folder."""

from __future__ import annotations

__all__ = ["classifier", "model_folder", "train"]

import hashlib
from pathlib import Path

from stability.feedback.classification import FeedbackClassifier
from stability.feedback.development import development_folder, read_development
from stability.feedback.lexicon import lexicon_file
from stability.schema import home


def model_folder() -> Path:
    """Say where the model lies: below ``runs/feedback``, named by what it was learnt from."""
    digest = hashlib.sha256()
    for path in sorted([*development_folder().glob("*.txt"), lexicon_file(), *Path(__file__).parent.glob("*.py")]):
        digest.update(path.name.encode() + path.read_bytes())
    return home() / "runs" / "feedback" / f"model-{digest.hexdigest()[:16]}"


def train(folder: Path | None = None) -> Path:
    """Learn from all messages of the development set, and keep the model.

    Returns
    -------
    pathlib.Path
        The model's folder.
    """
    frame = read_development()
    model = FeedbackClassifier().fit(frame["text"], frame["category"], frame["urgency"], frame["author"])
    return model.save(folder or model_folder())


def classifier() -> FeedbackClassifier:
    """Give the model in use; it is learnt at the first use and whenever texts, words or code have changed."""
    folder = model_folder()
    if not (folder / "model.json").is_file():
        train(folder)
    return FeedbackClassifier.load(folder)
