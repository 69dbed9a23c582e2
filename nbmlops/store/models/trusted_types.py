"""The types a stored model may hold besides those that skops itself trusts.

A crafted file can call any name on this list with arguments of its choosing, and can
fill an instance of any class on it with any state. So a name is here only when calling
it computes a value and does nothing else, and when no state of it is executed: never a
prefix, since ``numpy.`` would admit `numpy.testing._private.utils.runstring` and
``scipy.`` the distributions of `scipy.stats`, which ``exec`` a template they carry.

What the list does not promise is that the content is sound: a file with wrong node
indices in a tree can still crash the process that predicts with it.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Mapping

_STANDARD_LIBRARY = {
    # What a selector by dtype asks for; the category check of HistGradientBoosting.
    # The dictionaries of LightGBM's scores.
    "builtins": "object",
    "collections": "OrderedDict",
    "functools": "partial",
}
_NUMPY = {
    # The dtypes encoders and imputers remember; the abstract types selectors name.
    # The functions are those that are no ufunc and yet common in FunctionTransformer.
    "numpy": """dtype number integer floating generic
        clip max mean median min nan_to_num round""",
}
_SCIPY = {
    # Spline bases, and sparse data that neighbours, projections and embeddings keep.
    "scipy.interpolate._bsplines": "BSpline",
    "scipy._lib.array_api_compat.numpy._aliases": "asarray",
    "scipy.sparse._csr": "csr_array csr_matrix",
    "scipy.sparse._csc": "csc_array csc_matrix",
    "scipy.sparse._coo": "coo_array coo_matrix",
}
_METRICS = """
    BrayCurtis Canberra Chebyshev Dice Euclidean Hamming Haversine Jaccard Mahalanobis
    Manhattan Minkowski RogersTanimoto RussellRao SEuclidean SokalSneath"""
_SCIKIT_LEARN = {
    # Fitted trees: arrays of nodes, read back into compiled classes.
    "sklearn.tree._tree": "Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
    "sklearn.utils.validation": "check_array",
    # Losses of the generalised linear models that skops does not name.
    "sklearn._loss.loss": "HalfTweedieLoss HalfTweedieLossIdentity",
    # Neighbours: indices over the training rows, and the metrics they measure by.
    # PyFuncDistance is left out: it holds a function.
    "sklearn.neighbors._kd_tree": "KDTree",
    "sklearn.neighbors._ball_tree": "BallTree",
    "sklearn.metrics._dist_metrics": " ".join(
        f"{name}Distance{bits}" for name in _METRICS.split() for bits in (32, 64)
    ),
    # Gaussian processes: kernels, and the binary models of the multi-class one.
    "sklearn.gaussian_process.kernels": """
        CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern
        PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel""",
    "sklearn.gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
    # The inner parts of meta-estimators, networks, imputers and clusterers; the
    # experimental estimators, which skops knows only when they were enabled before it.
    "sklearn.calibration": """
        _CalibratedClassifier _SigmoidCalibration _TemperatureScaling""",
    "sklearn.multiclass": "_ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "sklearn.impute._iterative": "IterativeImputer _ImputerTriplet",
    "sklearn.cluster._bisect_k_means": "_BisectingTree",
    "sklearn.cluster._kmeans": "_kmeans_single_elkan _kmeans_single_lloyd",
    "sklearn.compose._column_transformer": "make_column_selector",
    "sklearn.utils._bunch": "Bunch",
    "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    # Searches: the halving ones, splitters, and scorers with their functions.
    "sklearn.model_selection._search_successive_halving": """
        HalvingGridSearchCV HalvingRandomSearchCV""",
    "sklearn.model_selection._split": """
        GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePGroupsOut
        LeavePOut PredefinedSplit RepeatedKFold RepeatedStratifiedKFold ShuffleSplit
        StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit
        _CVIterableWrapper""",
    "sklearn.metrics._scorer": """
        _CurveScorer _MultimetricScorer _PassthroughScorer _Scorer
        negative_likelihood_ratio positive_likelihood_ratio""",
    "sklearn.metrics._classification": """
        accuracy_score balanced_accuracy_score brier_score_loss cohen_kappa_score
        d2_brier_score d2_log_loss_score f1_score fbeta_score hamming_loss hinge_loss
        jaccard_score log_loss matthews_corrcoef precision_score recall_score
        zero_one_loss""",
    "sklearn.metrics._ranking": """
        average_precision_score dcg_score ndcg_score roc_auc_score
        top_k_accuracy_score""",
    "sklearn.metrics._regression": """
        d2_absolute_error_score d2_pinball_score explained_variance_score max_error
        mean_absolute_error mean_absolute_percentage_error mean_gamma_deviance
        mean_pinball_loss mean_poisson_deviance mean_squared_error
        mean_squared_log_error mean_tweedie_deviance median_absolute_error r2_score
        root_mean_squared_error root_mean_squared_log_error""",
    "sklearn.metrics.cluster._supervised": """
        adjusted_mutual_info_score adjusted_rand_score completeness_score
        fowlkes_mallows_score homogeneity_score mutual_info_score
        normalized_mutual_info_score rand_score v_measure_score""",
    # Score functions that feature selection holds by reference.
    "sklearn.feature_selection._univariate_selection": """
        chi2 f_classif f_oneway f_regression r_regression""",
    "sklearn.feature_selection._mutual_info": """
        mutual_info_classif mutual_info_regression""",
}

_IMBALANCED_LEARN = {
    # A pipeline of it passes over its samplers when it predicts; they are state only.
    # FunctionSampler calls the function it holds when it is fitted, not before.
    "imblearn.base": "FunctionSampler",
    "imblearn.combine._smote_enn": "SMOTEENN",
    "imblearn.combine._smote_tomek": "SMOTETomek",
    "imblearn.ensemble._bagging": "BalancedBaggingClassifier",
    "imblearn.ensemble._easy_ensemble": "EasyEnsembleClassifier",
    "imblearn.ensemble._forest": "BalancedRandomForestClassifier",
    "imblearn.ensemble._weight_boosting": "RUSBoostClassifier",
    "imblearn.metrics.pairwise": "ValueDifferenceMetric",
    "imblearn.over_sampling._adasyn": "ADASYN",
    "imblearn.over_sampling._random_over_sampler": "RandomOverSampler",
    "imblearn.over_sampling._smote.base": "SMOTE SMOTEN SMOTENC",
    "imblearn.over_sampling._smote.cluster": "KMeansSMOTE",
    "imblearn.over_sampling._smote.filter": "BorderlineSMOTE SVMSMOTE",
    "imblearn.pipeline": "Pipeline",
    "imblearn.under_sampling._prototype_generation._cluster_centroids": """
        ClusterCentroids""",
    "imblearn.under_sampling._prototype_selection._condensed_nearest_neighbour": """
        CondensedNearestNeighbour""",
    "imblearn.under_sampling._prototype_selection._edited_nearest_neighbours": """
        AllKNN EditedNearestNeighbours RepeatedEditedNearestNeighbours""",
    "imblearn.under_sampling._prototype_selection._instance_hardness_threshold": """
        InstanceHardnessThreshold""",
    "imblearn.under_sampling._prototype_selection._nearmiss": "NearMiss",
    "imblearn.under_sampling._prototype_selection._neighbourhood_cleaning_rule": """
        NeighbourhoodCleaningRule""",
    "imblearn.under_sampling._prototype_selection._one_sided_selection": """
        OneSidedSelection""",
    "imblearn.under_sampling._prototype_selection._random_under_sampler": """
        RandomUnderSampler""",
    "imblearn.under_sampling._prototype_selection._tomek_links": "TomekLinks",
}
# Boosters: their state is the native library's own format, a text or a buffer that
# its C++ parses; the rest are params. No pickle is in it.
_XGBOOST = {
    "xgboost.core": "Booster",
    "xgboost.callback": "EarlyStopping",
    "xgboost.sklearn": """
        XGBClassifier XGBModel XGBRFClassifier XGBRFRegressor XGBRanker XGBRegressor""",
}
_LIGHTGBM = {
    "lightgbm.basic": "Booster",
    "lightgbm.sklearn": "LGBMClassifier LGBMModel LGBMRanker LGBMRegressor",
}
_CATBOOST = {
    "catboost.core": "CatBoost CatBoostClassifier CatBoostRanker CatBoostRegressor",
}

TRUSTED_TYPES: Mapping[str, str] = {
    f"{module}.{name}": distribution
    for distribution, area in (
        ("", _STANDARD_LIBRARY),
        ("numpy", _NUMPY),
        ("scipy", _SCIPY),
        ("scikit-learn", _SCIKIT_LEARN),
        ("imbalanced-learn", _IMBALANCED_LEARN),
        ("xgboost", _XGBOOST),
        ("lightgbm", _LIGHTGBM),
        ("catboost", _CATBOOST),
    )
    for module, names in area.items()
    for name in names.split()
}
"""Full name of each type, and the distribution it comes from; "" is Python itself."""

_NOT_PUBLIC = {"conftest", "estimator_checks", "experimental", "externals", "tests"}


def is_harmless(name: str) -> bool:
    """Return whether a type is on the list, or an estimator that scikit-learn shows."""
    return name in TRUSTED_TYPES or _is_estimator(name)


def _is_estimator(name: str) -> bool:
    """Return what `sklearn.utils.all_estimators` would, which imports all of them."""
    from sklearn.base import BaseEstimator

    module, _, type_name = name.rpartition(".")
    words = module.split(".")
    if words[0] != "sklearn" or type_name.startswith("_") or _NOT_PUBLIC & {*words}:
        return False
    public = itertools.takewhile(lambda word: not word.startswith("_"), words)
    try:
        found = getattr(importlib.import_module(".".join(public)), type_name, None)
    except ImportError:
        return False
    return (
        isinstance(found, type)
        and issubclass(found, BaseEstimator)
        and found is not BaseEstimator
        and found.__module__ == module
        and not inspect.isabstract(found)
    )
