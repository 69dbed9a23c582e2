import ast
import datetime
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbmlops.errors import UsageError
from nbmlops.execution.parameters.parameterize import _Python
from nbmlops.execution.parameters.parameters import (
    Parameter,
    check_parameters,
    parse_text,
)


def declare(**types):
    return {
        name: Parameter(name=name, type=kind, default_source="...")
        for name, kind in types.items()
    }


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=10,
)


@given(value=plain)
def test_a_value_arrives_with_its_type_in_the_code_that_is_injected(value):
    checked = check_parameters(declare(x=""), {"x": value})
    code = _Python.codify(checked)
    scope = {}
    exec(code, scope)  # noqa: S102 - the code is what is tested
    assert repr(scope["x"]) == repr(value)  # NaN included


@given(value=plain)
def test_the_injected_code_assigns_one_name_and_nothing_else(value):
    body = ast.parse(_Python.codify({"x": value})).body
    assert [type(node) for node in body] == [ast.Assign]
    calls = [n for n in ast.walk(body[0].value) if isinstance(n, ast.Call)]
    assert all(call.func.id == "float" for call in calls)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), float("nan")),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        ([np.int8(1)], [1]),
        ({"a": np.uint64(2**63)}, {"a": 2**63}),
    ],
)
def test_a_numpy_scalar_becomes_the_python_scalar(given_, expected):
    value = check_parameters(declare(x=""), {"x": given_})["x"]
    assert (type(value), repr(value)) == (type(expected), repr(expected))


def _cycle():
    items = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset(),
        b"bytes",
        1j,
        datetime.date(2026, 1, 1),
        Path("a"),
        np.array([1]),
        np.datetime64("2026-01-01T00:00:00.000000001"),
        np.timedelta64(1, "ns"),
        np.longdouble(1),
        {1: 2},
        "\ud800",
        {"\ud800": 1},
        10**5000,
        _cycle(),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_could_not_arrive_unchanged_is_refused(value):
    with pytest.raises(UsageError, match="'x' is "):
        check_parameters(declare(x=""), {"x": value})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", [1, -(10**30)], [True, 1.0, "1", None]),
        ("float", [1.5, 1, float("inf")], [True, "1.5", None]),
        ("bool", [True], [1, "true"]),
        ("str", ["", "a"], [1, None]),
        ("list", [[], [1]], [(1,), "a", {}]),
        ("tuple", [(1, 2)], ["a", {}]),
        ("dict", [{}], [[]]),
        ("set", [], [[], None]),
        ("list[int]", [[1]], [["a"], [True]]),
        ("tuple[int, str]", [(1, "a")], [(1,), ("a", 1)]),
        ("tuple[int, ...]", [(), (1, 2)], [("a",)]),
        ("dict[str, float]", [{"a": 1}], [{"a": "b"}]),
        ("int | None", [1, None], ["a"]),
        ("typing.Optional[str]", ["a", None], [1]),
        ("Union[int, str]", [1, "a"], [1.5]),
        ("Literal['a', 1]", ["a", 1], ["b", True, 2]),
        ("'int'", [1], ["a"]),
        ("Annotated[int, 'rows']", [1], ["a"]),
        ("", [1, "a", None, [1]], []),
        ("np.ndarray", [[1.0]], []),
    ],
)
def test_a_value_must_fit_the_annotation(kind, good, bad):
    for value in good:
        assert check_parameters(declare(x=kind), {"x": value}) == {"x": value}
    for value in bad:
        with pytest.raises(UsageError, match="Parameter 'x' is"):
            check_parameters(declare(x=kind), {"x": value})


@pytest.mark.parametrize(
    ("kind", "value", "arrived"),
    [
        ("tuple", [1, [2]], (1, [2])),
        ("tuple[int, ...] | None", [1, 2], (1, 2)),
        ("'Tuple[str, float]'", ["a", 1], ("a", 1)),
        ("list[tuple[int, int]]", [[1, 2], (3, 4)], [(1, 2), (3, 4)]),
        ("Mapping[str, tuple[int, ...]]", {"a": [1]}, {"a": (1,)}),
        ("Sequence[int]", [1], [1]),
        ("list | tuple", [1], [1]),
        ("", [1], [1]),
    ],
)
def test_a_list_arrives_as_a_tuple_where_one_is_declared(kind, value, arrived):
    found = check_parameters(declare(x=kind), {"x": value})["x"]
    assert repr(found) == repr(arrived)


@pytest.mark.parametrize("kind", ["tuple[int, int]", "tuple[str, ...]", "dict", "int"])
def test_a_list_that_makes_no_tuple_of_the_type_is_refused_as_it_is(kind):
    with pytest.raises(UsageError, match=r"is \[1, 2, 3\] \(list\), not"):
        check_parameters(declare(x=kind), {"x": [1, 2, 3]})


def test_all_that_is_wrong_is_said_at_once_with_the_near_match():
    declared = declare(alpha="float", n="int") | {"seed": Parameter(name="seed")}
    with pytest.raises(UsageError) as caught:
        check_parameters(declared, {"alhpa": 1, "n": "many"})
    said = str(caught.value)
    assert "No parameter 'alhpa'. Did you mean 'alpha'?" in said
    assert "Parameter 'n' is 'many' (str), not int." in said
    assert "Parameter 'seed' has no default and is not given." in said
    assert "alpha: float = ..." in caught.value.fix


@given(name=st.text(string.printable, max_size=60).filter(lambda name: name != "x"))
def test_a_name_that_is_not_declared_never_gets_through(name):
    with pytest.raises(UsageError, match="No parameter"):
        check_parameters(declare(x=""), {name: 1})


def test_parameters_for_a_notebook_without_a_parameters_cell_say_how_to_tag_one():
    with pytest.raises(UsageError) as caught:
        check_parameters(None, {"alpha": 1})
    assert "property inspector" in caught.value.fix
    assert check_parameters(None, {}) == {}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("float", "0.5", 0.5),
        ("float", "1", 1.0),
        ("float | None", "null", None),
        ("int", "3", 3),
        ("int", "3.5", "3.5"),
        ("int | float", "3", 3),
        ("bool", "true", True),
        ("bool", "False", False),
        ("bool", "1", "1"),
        ("str", "0.5", "0.5"),
        ("str", '"quoted"', '"quoted"'),
        ("str", "null", "null"),
        ("list", "[1, 2]", [1, 2]),
        ("list[str]", '["a"]', ["a"]),
        ("tuple", "[50, 50]", (50, 50)),
        ("tuple", "(50, 50)", (50, 50)),
        ("dict", '{"a": 1}', {"a": 1}),
        ("Literal[1, 'b']", "1", 1),
        ("", "1e-3", 0.001),
        ("", "abc", "abc"),
        ("", "true", True),
    ],
)
def test_typed_text_becomes_a_value_of_the_declared_type(kind, text, value):
    found = parse_text(declare(x=kind), "x", text)
    assert (type(found), found) == (type(value), value)


@given(text=st.text())
@example("1j")
@example("{1}")
def test_typed_text_is_a_value_that_can_be_given_or_the_text_itself(text):
    for kind in ("", "int", "float", "bool", "str", "list", "dict", "tuple"):
        value = parse_text(declare(x=kind), "x", text)
        if value is not text:
            check_parameters(declare(x=kind), {"x": value})


def test_text_for_an_unknown_name_is_left_for_the_check_to_refuse():
    assert parse_text(declare(x="int"), "y", "1") == "1"
    assert parse_text(None, "y", "1") == "1"
