"""Why a predictor says what it says: additive parts of each prediction, what matters on the whole, and words."""

from stability.prediction.explanation.contributions import explain, importance
from stability.prediction.explanation.words import Usual, in_words

__all__ = ["Usual", "explain", "importance", "in_words"]
