"""Every meta-estimator of scikit-learn around a forest, boosters and array params."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import lightgbm
import numpy as np
import xgboost
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import (  # noqa: F401 - they join all_estimators
    enable_halving_search_cv,
    enable_iterative_imputer,
)
from sklearn.feature_selection import (
    RFE,
    RFECV,
    SelectFromModel,
    SequentialFeatureSelector,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import IterativeImputer
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    RANSACRegressor,
    Ridge,
    RidgeCV,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
)
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import all_estimators

_LIGHT = {"n_estimators": 2, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}
INNER: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "forest": (
        lambda: RandomForestClassifier(3, random_state=0),
        lambda: RandomForestRegressor(3, random_state=0),
    ),
    "hist boosting": (
        lambda: HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5),
        lambda: HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5),
    ),
    "boosting": (
        lambda: GradientBoostingClassifier(n_estimators=2),
        lambda: GradientBoostingRegressor(n_estimators=2),
    ),
    "bagging": (
        lambda: BaggingClassifier(n_estimators=2, random_state=0),
        lambda: BaggingRegressor(n_estimators=2, random_state=0),
    ),
    "array param": (
        lambda: LogisticRegressionCV(
            Cs=np.logspace(-1, 1, 2),
            cv=2,
            l1_ratios=(0.0,),
            use_legacy_attributes=False,
        ),
        lambda: RidgeCV(alphas=np.logspace(-3, 3, 5)),
    ),
    "xgboost": (
        lambda: xgboost.XGBClassifier(n_estimators=2, n_jobs=1),
        lambda: xgboost.XGBRegressor(n_estimators=2, n_jobs=1),
    ),
    "lightgbm": (
        lambda: lightgbm.LGBMClassifier(
            n_estimators=2, min_child_samples=5, verbose=-1, n_jobs=1
        ),
        lambda: lightgbm.LGBMRegressor(
            n_estimators=2, min_child_samples=5, verbose=-1, n_jobs=1
        ),
    ),
}
"""Inner classifiers and regressors; each is unfitted when it is put inside."""

_CLASSIFIERS: dict[str, Callable[[Any], Any]] = {
    "AdaBoostClassifier": lambda e: AdaBoostClassifier(e, n_estimators=2),
    "BaggingClassifier": lambda e: BaggingClassifier(e, n_estimators=2),
    "CalibratedClassifierCV": lambda e: CalibratedClassifierCV(e, cv=2),
    "FixedThresholdClassifier": lambda e: FixedThresholdClassifier(e, threshold=0.4),
    "GridSearchCV": lambda e: GridSearchCV(Pipeline([("m", e)]), {"m": [e]}, cv=2),
    "HalvingGridSearchCV": lambda e: HalvingGridSearchCV(
        Pipeline([("m", e)]), {"m": [e]}, cv=2, min_resources=75
    ),
    "HalvingRandomSearchCV": lambda e: HalvingRandomSearchCV(
        Pipeline([("m", e)]), {"m": [e]}, n_candidates=1, cv=2, min_resources=75
    ),
    "OneVsOneClassifier": OneVsOneClassifier,
    "OneVsRestClassifier": OneVsRestClassifier,
    "OutputCodeClassifier": lambda e: OutputCodeClassifier(e, random_state=0),
    "Pipeline": lambda e: make_pipeline(StandardScaler(), e),
    "RFE": lambda e: RFE(e, n_features_to_select=2),
    "RFECV": lambda e: RFECV(e, min_features_to_select=3, cv=2),
    "RandomizedSearchCV": lambda e: RandomizedSearchCV(
        Pipeline([("m", e)]), {"m": [e]}, n_iter=1, cv=2
    ),
    "SelfTrainingClassifier": lambda e: SelfTrainingClassifier(e, max_iter=2),
    "StackingClassifier": lambda e: StackingClassifier(
        [("e", e), ("l", LogisticRegression(max_iter=500))], cv=2
    ),
    "TunedThresholdClassifierCV": lambda e: TunedThresholdClassifierCV(
        e, cv=2, thresholds=3
    ),
    "VotingClassifier": lambda e: VotingClassifier(
        [("e", e), ("l", LogisticRegression(max_iter=500))]
    ),
}
_REGRESSORS: dict[str, Callable[[Any], Any]] = {
    "AdaBoostRegressor": lambda e: AdaBoostRegressor(e, n_estimators=2),
    "BaggingRegressor": lambda e: BaggingRegressor(e, n_estimators=2),
    "ColumnTransformer": lambda e: make_pipeline(
        ColumnTransformer(
            [("s", SelectFromModel(e, max_features=2), ["age", "bmi", "bp"])],
            remainder="drop",
        ),
        Ridge(),
    ),
    "FeatureUnion": lambda e: make_pipeline(
        FeatureUnion([("s", SelectFromModel(e, max_features=2))]), Ridge()
    ),
    "IterativeImputer": lambda e: make_pipeline(
        IterativeImputer(e, max_iter=1), Ridge()
    ),
    "RANSACRegressor": lambda e: RANSACRegressor(e, min_samples=100, random_state=0),
    "SelectFromModel": lambda e: make_pipeline(
        SelectFromModel(e, max_features=2), Ridge()
    ),
    "SequentialFeatureSelector": lambda e: make_pipeline(
        SequentialFeatureSelector(e, n_features_to_select=1, cv=2), Ridge()
    ),
    "StackingRegressor": lambda e: StackingRegressor([("e", e), ("r", Ridge())], cv=2),
    "TransformedTargetRegressor": lambda e: TransformedTargetRegressor(
        e, func=np.log1p, inverse_func=np.expm1
    ),
    "VotingRegressor": lambda e: VotingRegressor([("e", e), ("r", Ridge())]),
}
_MANY: dict[str, Callable[[Any], Any]] = {
    "ClassifierChain": ClassifierChain,
    "FrozenEstimator": FrozenEstimator,
    "MultiOutputClassifier": MultiOutputClassifier,
    "MultiOutputRegressor": MultiOutputRegressor,
    "RegressorChain": RegressorChain,
}
META = (*_CLASSIFIERS, *_REGRESSORS, *_MANY)
IMPOSSIBLE = {
    # scikit-learn selects by the importances of features, which these do not give.
    (meta, inner)
    for meta in ("RFE", "RFECV", "SelectFromModel", "FeatureUnion", "ColumnTransformer")
    for inner in ("hist boosting", "bagging")
}


def meta_estimators() -> set[str]:
    """Return the names of scikit-learn's estimators that are given other estimators."""
    given = {
        *("base_estimator", "estimator", "estimators", "regressor"),
        *("steps", "transformer_list", "transformers"),
    }
    return {
        name for name, cls in all_estimators() if given & {*_init_params(cls)}
    } - _NOT_META


_NOT_META = {"SparseCoder"}


def _init_params(cls: type) -> list[str]:
    return cls._get_param_names()  # type: ignore[attr-defined]


def pairs() -> list[tuple[str, str]]:
    """Return all pairs of a meta-estimator and an inner one."""
    found = [(meta, inner) for meta in META for inner in INNER]
    return [pair for pair in found if pair not in IMPOSSIBLE]


def fit_meta(meta: str, inner: str) -> tuple[str, Any, Any]:
    """Return a label, the fitted meta-estimator and the rows it was fitted on."""
    classifier, regressor = (make() for make in INNER[inner])
    frame, y = load_iris(return_X_y=True, as_frame=True)
    frame, y = frame[::2], y[::2]
    label = f"{meta} of {inner}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if meta in _CLASSIFIERS:
            if "Threshold" in meta:
                frame, y = frame[:50], y[:50]  # two classes
            return label, _CLASSIFIERS[meta](classifier).fit(frame, y), frame
        if meta in _REGRESSORS:
            frame, y = load_diabetes(return_X_y=True, as_frame=True)
            frame, y = frame[:150], y[:150]
            return label, _REGRESSORS[meta](regressor).fit(frame, y), frame
        is_regressor = "Regressor" in meta
        if meta == "FrozenEstimator":
            return label, FrozenEstimator(classifier.fit(frame, y)), frame
        both = np.column_stack([y % 2, (y > 0) * 1])
        model = _MANY[meta](regressor if is_regressor else classifier)
        assert is_regressor or is_classifier(model)
        return label, model.fit(frame, both * 1.0 if is_regressor else both), frame


def array_params() -> Iterator[tuple[str, Any, Any]]:
    """Yield fitted estimators that were given an array as a param."""
    from sklearn.cluster import KMeans
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.linear_model import BayesianRidge, ElasticNetCV, LassoCV, SGDClassifier
    from sklearn.mixture import GaussianMixture
    from sklearn.naive_bayes import GaussianNB, MultinomialNB
    from sklearn.preprocessing import MinMaxScaler

    frame, y = load_iris(return_X_y=True, as_frame=True)
    third = np.full(3, 1 / 3)
    grid = np.logspace(-3, 1, 4)
    for model in (
        GaussianNB(priors=third),
        MultinomialNB(class_prior=third),
        KMeans(3, init=frame.to_numpy()[::50], n_init=1),
        GaussianMixture(3, weights_init=third),
        RidgeCV(alphas=grid),
        LassoCV(alphas=grid),
        ElasticNetCV(alphas=grid, l1_ratio=np.array([0.1, 0.9])),
        BayesianRidge(),
        GaussianProcessRegressor(alpha=np.full(len(frame), 0.1)),
        SGDClassifier(class_weight={0: 1.0, 1: 2.0, 2: 1.0}),
        make_pipeline(MinMaxScaler(), GaussianNB(priors=third)),
        VotingClassifier([("a", GaussianNB(priors=third))]),
        GridSearchCV(GaussianNB(), {"priors": [None, third]}, cv=2),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield f"{type(model).__name__}, array", model.fit(frame, y), frame
