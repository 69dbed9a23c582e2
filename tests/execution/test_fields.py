"""A notebook's parameters as fields: what is shown can be typed back."""

import nbformat
import pytest

from nbmlops.execution.parameters.fields import fields_of
from nbmlops.execution.parameters.parameters import parameters, parse_text


def declared(source):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    return parameters(nbformat.v4.new_notebook(cells=[cell]))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("x: int = 3", "integer"),
        ("x = 3", "integer"),
        ("x: float = 0.5", "number"),
        ("x: bool = True", "checkbox"),
        ("x = False", "checkbox"),
        ("x: str = 'a \"b\" c'", "text"),
        ("x: Literal['a', 'b'] = 'b'", "select"),
        ("x: Literal[1, 2] = 2", "select"),
        ("x: Optional[Literal['a']] = None", "select"),
        ("x: Literal['a'] | None = None", "select"),
        ("x: 'Literal[\"a\"]' = 'a'", "select"),
        ("x: int | None = None", "value"),
        ("x: tuple[int, ...] = (1, 2)", "value"),
        ("x: dict[str, float] = {'a': 1.5}", "value"),
        ("x: list = [None, True, 'a']", "value"),
        ("x: float = -1e-300", "number"),
    ],
)
def test_a_default_typed_back_is_the_default(line, kind):
    found = declared(line)
    (field,) = fields_of(found)
    assert field.kind == kind
    assert parse_text(found, "x", field.default) == found["x"].default
    assert type(parse_text(found, "x", field.default)) is type(found["x"].default)
    for choice in field.choices:
        parse_text(found, "x", choice)


def test_a_default_that_is_no_literal_is_shown_and_not_sent():
    (field,) = fields_of(declared("from pathlib import Path\nx = Path('data')"))
    assert (field.default, field.default_source) == ("", "Path('data')")
    assert not field.is_required


def test_a_notebook_without_parameters_has_no_fields():
    assert fields_of(None) == ()
    assert fields_of(declared("import os")) == ()
