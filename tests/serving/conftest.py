from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nbmlops.store.models.files import save_model


@pytest.fixture(scope="session")
def applicants():
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "Age": rng.normal(40, 10, 200),
            "Income": rng.integers(0, 1000, 200).astype(float),
            "Home": rng.choice(["rent", "own"], 200),
        }
    )
    frame.loc[3, "Income"] = np.nan
    return frame


@pytest.fixture(scope="session")
def pipeline(applicants):
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["Age", "Income"]),
        (OneHotEncoder(handle_unknown="ignore"), ["Home"]),
    )
    paid_back = np.where(applicants.Age > 40, "good", "bad")
    return make_pipeline(columns, LogisticRegression()).fit(applicants, paid_back)


@pytest.fixture(scope="session")
def model_folder(pipeline, applicants, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "model"
    folder.mkdir()
    save_model(pipeline, folder, applicants)
    return folder
