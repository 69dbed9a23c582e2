"""Fits and scores, recorded as the user's code makes them.

Patches scikit-learn and the boosters only while a run is open, and leaves results,
warnings and errors as they are.
"""

from nbmlops.tracking.autolog.log_fits import log_fits, log_model
from nbmlops.tracking.autolog.recorder import Recorder

__all__ = ["Recorder", "log_fits", "log_model"]
