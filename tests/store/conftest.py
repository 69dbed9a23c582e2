import pickle

import cloudpickle
import joblib
import pytest


@pytest.fixture
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was unpickled")

    for module, names in (
        (pickle, ("load", "loads", "Unpickler", "_Unpickler")),
        (cloudpickle, ("load", "loads")),
        (joblib, ("load",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
