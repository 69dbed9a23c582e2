import json

import pytest

from nbmlops.entities import Column
from nbmlops.errors import UsageError
from nbmlops.serving.signature import read_model_file, read_signature


def stating(*specs):
    return {"signature": {"inputs": json.dumps(specs), "outputs": None}}


def tensor(dtype, shape, **more):
    spec = {"dtype": dtype, "shape": shape}
    return {"type": "tensor", "tensor-spec": spec, **more}


def test_columns_keep_their_order_type_and_gaps():
    signature, is_flat = read_signature(
        stating(
            {"type": "string", "name": "b", "required": True},
            {"type": "double", "name": "a", "required": False},
        )
    )
    assert signature.inputs == (
        Column(name="b", type="string"),
        Column(name="a", type="double", is_required=False),
    )
    assert not is_flat


def test_a_tensor_becomes_as_many_nameless_columns_as_it_is_wide():
    signature, is_flat = read_signature(stating(tensor("float64", [-1, 3])))
    assert [c.type for c in signature.inputs] == ["double"] * 3
    assert {c.name for c in signature.inputs} == {""}
    assert not is_flat


def test_a_list_of_texts_is_flat():
    signature, is_flat = read_signature(stating(tensor("str", [-1])))
    assert is_flat
    assert signature.inputs[0].type == "string"


@pytest.mark.parametrize("shape", [[-1, 8, 8], [-1, -1], []])
def test_an_array_that_is_no_table_is_refused(shape):
    with pytest.raises(UsageError, match="shape"):
        read_signature(stating(tensor("float64", shape)))


def test_a_type_no_request_can_carry_is_named():
    with pytest.raises(UsageError, match="'photo' is of type 'binary'"):
        read_signature(stating({"type": "binary", "name": "photo"}))


def test_a_model_without_signature_says_how_to_get_one():
    with pytest.raises(UsageError, match="log_model"):
        read_signature({})


@pytest.mark.parametrize("content", [None, b"\xff\xfe: [", b"- just\n- a list\n"])
def test_a_model_file_that_is_no_table_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "MLmodel").write_bytes(content)
    with pytest.raises(UsageError, match="MLmodel"):
        read_model_file(tmp_path)
