"""Fits and scores, recorded as the user's code makes them."""

from nbmlops.tracking.autolog.log_fits import log_fits, model_of
from nbmlops.tracking.autolog.recorder import Recorder

__all__ = ["Recorder", "log_fits", "model_of"]
