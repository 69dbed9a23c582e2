import json

import pytest

from nbmlops.entities import Column
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.scoring.signature import read_input_spec, read_mlmodel, read_signature


def stating(*specs, outputs=None, **more):
    outputs = outputs and json.dumps(outputs)
    return {"signature": {"inputs": json.dumps(specs), "outputs": outputs}, **more}


def tensor(dtype, shape, **more):
    spec = {"dtype": dtype, "shape": shape}
    return {"type": "tensor", "tensor-spec": spec, **more}


@pytest.mark.parametrize(
    ("specs", "columns", "kind"),
    [
        (
            [
                {"type": "string", "name": "b", "required": True},
                {"type": "float", "name": "a", "required": False},
                {"type": "long", "name": "c", "optional": True},
            ],
            [("b", "string", True), ("a", "float", False), ("c", "long", False)],
            "frame",
        ),
        (
            [tensor("float32", [-1, 2])],
            [("0", "float", False), ("1", "float", False)],
            "array",
        ),
        ([tensor("int32", [-1, 1])], [("0", "integer", False)], "array"),
        ([tensor("uint16", [-1])], [("0", "integer", False)], "vector"),
        ([tensor("int64", [-1])], [("0", "long", False)], "vector"),
        ([tensor("str", [-1])], [("0", "string", False)], "vector"),
        ([tensor("datetime64[ns]", [-1])], [("0", "datetime", False)], "vector"),
        (
            [
                {"type": "string", "required": True},
                {"type": "double", "required": True},
            ],
            [("0", "string", False), ("1", "double", False)],
            "array",
        ),
    ],
)
def test_what_is_listed_of_a_model_is_what_its_endpoint_reads(specs, columns, kind):
    document = stating(*specs)
    spec = read_input_spec(document)
    expected = [Column(name=n, type=t, is_required=r) for n, t, r in columns]
    assert list(spec.columns) == expected
    assert spec.kind == kind
    listed = read_signature(document).inputs
    assert [(c.name, c.type) for c in listed] == [(n, t) for n, t, _ in columns]
    if kind == "frame":
        assert list(listed) == expected


def test_what_rows_are_is_read_as_it_was_stored():
    document = stating(
        {"type": "string", "name": "city", "required": True},
        metadata={"nbmlops.rows": "dicts"},
    )
    assert read_input_spec(document).kind == "dicts"
    assert not read_input_spec(document).has_open_keys
    document["metadata"]["nbmlops.rows"] = "of another version"
    assert read_input_spec(document).kind == "frame"
    info = {"type": "sparse_matrix_csc"}  # as MLflow's own flavor stores it
    document = stating(tensor("float64", [-1, 3]), saved_input_example_info=info)
    assert read_input_spec(document).kind == "sparse"


def test_outputs_are_listed_with_their_types():
    def listed(*outputs):
        columns = read_signature(stating(outputs=list(outputs))).outputs
        return [(column.name, column.type) for column in columns]

    assert listed(tensor("int64", [-1])) == [("", "long")]
    assert listed(tensor("str", [-1, 2])) == [("0", "string"), ("1", "string")]
    assert listed({"type": "double", "name": "p"}) == [("p", "double")]
    assert read_signature({}) is None


def test_a_very_wide_array_is_listed_as_one_column():
    document = stating(tensor("float64", [-1, 20_000]))
    assert len(read_input_spec(document).columns) == 20_000
    assert [c.name for c in read_signature(document).inputs] == ["0 to 19999"]


@pytest.mark.parametrize("shape", [[-1, 8, 8], [-1, -1], []])
def test_an_array_that_is_no_table_is_refused(shape):
    with pytest.raises(UsageError, match="shape"):
        read_input_spec(stating(tensor("float64", shape)))


def test_a_type_no_request_can_carry_is_named():
    with pytest.raises(UsageError, match="'photo' is of type 'binary'"):
        read_input_spec(stating({"type": "binary", "name": "photo"}))


def test_a_model_without_signature_says_how_to_get_one():
    with pytest.raises(UsageError, match="log_model"):
        read_input_spec({})


def test_why_a_model_is_not_served_is_said_again():
    with pytest.raises(UsageError, match="are lists"):
        read_input_spec({"metadata": {"nbmlops.not_served": "Its rows are lists."}})


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "is missing"), (b"\xff\xfe: [", "cannot be read"), (b"- a\n", "no table")],
)
def test_a_model_file_that_is_no_table_is_refused(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "MLmodel").write_bytes(content)
    with pytest.raises((NotFoundError, UsageError), match="MLmodel") as refused:
        read_mlmodel(tmp_path)
    assert expected.replace("no table", "not a table") in refused.value.problem
