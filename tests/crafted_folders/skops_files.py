"""Files in the skops format that name what is not data."""

import io
import json
import zipfile

import numpy as np

from tests.crafted import node, text
from tests.crafted_folders.folder import WAYS, Payload, way


def calls(name, *words):
    """Return the ways a file can have ``name`` called with words."""
    arguments = node("TupleNode", "builtins.tuple", content=[*map(text, words)])
    kind = node("TypeNode", name)
    keys = node("ListNode", "builtins.list", content=[kind])
    empty = node("DictNode", "builtins.dict", content={}, key_types=keys)
    by_key = {words[0]: text("")}
    function = node("FunctionNode", name)
    return {
        "constructor": node("ConstructorFromReduceNode", name, content=arguments),
        "key type": node("DictNode", "builtins.dict", content=by_key, key_types=keys),
        "list": node("ListNode", name, content=[*map(text, words)]),
        "set": node("SetNode", name, content=[*map(text, words)]),
        "loss": node("LossNode", name, content=empty, __reduce__={"args": arguments}),
        "tree": node("TreeNode", name, content=empty, __reduce__={"args": arguments}),
        "factory": node(
            "DefaultDictNode",
            "collections.defaultdict",
            content={"main": empty, "default_factory": function},
        ),
        "function": transformer(function),
        "partial": transformer(partial(function, *words)),
        "partial of a partial": transformer(partial(partial(function), *words)),
    }


def state(**values):
    """Return an object's attributes."""
    kinds = [node("TypeNode", "builtins.str") for _ in values]
    keys = node("ListNode", "builtins.list", content=kinds)
    return node("DictNode", "builtins.dict", content=values, key_types=keys)


def transformer(function):
    """Return a transformer that calls a function with the rows."""
    name = "sklearn.preprocessing._function_transformer.FunctionTransformer"
    none = node("JsonNode", "builtins.str", content="null", is_json=True)
    fields = dict.fromkeys(("inverse_func", "kw_args", "inv_kw_args"), none)
    content = state(func=function, validate=text(""), **fields)
    return node("ObjectNode", name, content=content)


def partial(function, *arguments):
    held = node(
        "TupleNode", "builtins.tuple", content=[text(each) for each in arguments]
    )
    none = node("JsonNode", "builtins.str", content="null", is_json=True)
    content = {"func": function, "args": held, "kwds": state(), "namespace": none}
    return node("PartialNode", "functools.partial", content=content)


def _skops(make):
    return lambda folder: folder.skops(make(folder))


for _call in ("constructor", "key type", "loss", "tree", "factory", "function"):
    WAYS[f"skops: {_call}, os.system"] = _skops(
        lambda folder, call=_call: calls("posix.system", folder.command)[call]
    )
for _call in ("list", "set"):
    WAYS[f"skops: {_call}, subprocess.call"] = _skops(
        lambda folder, call=_call: calls(
            "subprocess.call", "touch", str(folder.canary)
        )[call]
    )
for _call in ("constructor", "partial", "partial of a partial"):
    WAYS[f"skops: {_call}, runpy.run_path"] = _skops(
        lambda folder, call=_call: calls("runpy.run_path", planted(folder))[call]
    )
for _function in ("builtins.eval", "builtins.exec"):
    WAYS[f"skops: {_function}"] = _skops(
        lambda folder, function=_function: calls(function, folder.expression)[
            "constructor"
        ]
    )


def planted(folder):
    """Write a module into the folder; return its path in the endpoint's copy."""
    folder.write("evil.txt", folder.source)
    return str(folder.endpoint / "evil.txt")


@way("skops: a function of numpy's tests that executes a text")
def _runstring(folder):
    arguments = node(
        "TupleNode", "builtins.tuple", content=[text(folder.source), state()]
    )
    name = "numpy.testing._private.utils.runstring"
    folder.skops(node("ConstructorFromReduceNode", name, content=arguments))


@way("skops: joblib.load of another file")
def _joblib_load(folder):
    folder.write("cache.pkl", folder.pickled)
    path = str(folder.endpoint / "cache.pkl")
    folder.skops(calls("joblib.numpy_pickle.load", path)["constructor"])


@way("skops: numpy.load of another file")
def _numpy_load(folder):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(folder.canary)], dtype=object), allow_pickle=True)
    folder.write("cache.npy", buffer.getvalue())
    path = str(folder.endpoint / "cache.npy")
    loading = partial(node("FunctionNode", "numpy.load"), path)
    folder.skops(transformer(loading))


@way("skops: an array of objects, as numpy pickles it")
def _object_array(folder):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(folder.canary)], dtype=object), allow_pickle=True)
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy")
    folder.skops(array, {"a.npy": buffer.getvalue()})


@way("skops: a plain pickle in place of an array")
def _pickled_array(folder):
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy")
    folder.skops(array, {"a.npy": folder.pickled})


@way("skops: a sparse matrix that is a pickle")
def _sparse(folder):
    matrix = node("SparseMatrixNode", "scipy.sparse._csr.csr_matrix", type="scipy")
    folder.skops(matrix | {"file": "a.npz"}, {"a.npz": folder.pickled})


@way("skops: objects in an array of objects")
def _held_in_array(folder):
    shape = node("TupleNode", "builtins.tuple", content=[])
    call = calls("posix.system", folder.command)["constructor"]
    array = node("NdArrayNode", "numpy.ndarray", type="json", content=[call])
    folder.skops(array | {"shape": shape})


@way("skops: the name of a bit generator")
def _generator(folder):
    named = state(bit_generator=text("set_bit_generator"))
    content = {"bit_generator": named, "seed_seq": state()}
    folder.skops(
        node(
            "RandomGeneratorNode", "numpy.random._generator.Generator", content=content
        )
    )


@way("skops: operator.methodcaller")
def _operator(folder):
    attrs = node("TupleNode", "builtins.tuple", content=[text("system")])
    folder.skops(
        transformer(node("OperatorFuncNode", "operator.methodcaller", attrs=attrs))
    )


@way("skops: a class of operator that is a function")
def _operator_call(folder):
    function = node("FunctionNode", "posix.system")
    attrs = node(
        "TupleNode", "builtins.tuple", content=[function, text(folder.command)]
    )
    folder.skops(node("OperatorFuncNode", "operator.call", attrs=attrs))


@way("skops: a distribution that executes its state")
def _distribution(folder):
    name = "scipy.stats._continuous_distns.norm_gen"
    code = state(_parse_arg_template=text(folder.source))
    folder.skops(node("ObjectNode", name, content=code))


@way("skops: a class in the code folder")
def _class_in_code(folder):
    folder.write("code/evil_class.py", folder.source + "class Model: pass\n")
    folder.skops(node("ObjectNode", "evil_class.Model", content=state()))
    folder.sklearn(code="code")


@way("skops: a name that looks like a module of scikit-learn")
def _like_sklearn(folder):
    folder.write("code/sklearn/evil.py", folder.source + "class Model: pass\n")
    folder.write("code/sklearn/__init__.py", folder.source)
    folder.skops(node("ObjectNode", "sklearn.evil.Model", content=state()))
    folder.sklearn(code="code")


@way("skops: files that would be unpacked outside of the folder")
def _zip_slip(folder):
    good = zipfile.ZipFile(folder.path / "model.skops")
    parts = {name: good.read(name) for name in good.namelist()}
    schema = json.loads(parts.pop("schema.json"))
    parts[f"../../../../../{folder.canary}"] = b"out"
    parts[str(folder.canary)] = b"out"
    folder.skops(schema, parts)


@way("skops: a part at a path outside of the archive")
def _part_outside(folder):
    (file := folder.outside / "a.npy").write_bytes(folder.pickled)
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file=str(file))
    folder.skops(array)


@way("skops: nested thirty deep")
def _deep(folder):
    schema = calls("posix.system", folder.command)["constructor"]
    for _ in range(30):
        schema = node("ListNode", "builtins.list", content=[schema])
    folder.skops(schema)
