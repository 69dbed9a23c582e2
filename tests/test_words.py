"""Messages in the words of the door they are read at: the command, a magic, Python."""

import ast
import re
from pathlib import Path

import pytest

import nbmlops as nm
from nbmlops.cli.main import cli, invoke
from nbmlops.cli.output import option_words
from nbmlops.errors import UsageError, in_words
from nbmlops.notebook.magics.options import LineParser
from tests.notebooks import write_notebook

ROOT = Path(nm.__file__).parent
OPTIONS = option_words(cli)
CODE = re.compile(
    r"nm\.\w+\(.*\)|`[^`]*`|nbmlops \w+( --\w+)*|%\w+.*"
    r"|(mlflow|pip|ps|mkdir|openssl) .*"
)
"""What is to be typed as it stands: Python, another tool, or a command of its own."""
DOORS = ("cli", "notebook", "server", "serving")
IN_PYTHON = {name for name in OPTIONS if "_" in name}


def texts(node):
    """Yield the texts of a node, with ``'x'`` for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            is_text = [isinstance(part, ast.Constant) for part in parts]
            pairs = zip(parts, is_text, strict=True)
            yield "".join(part.value if is_it else "'x'" for part, is_it in pairs)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from texts(child)


def messages():
    """Yield where each error is made, its problem, its fix, and problems of files."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                fixes = [each.value for each in node.keywords if each.arg == "fix"]
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                is_problem = getattr(node.func, "attr", "") in ("fail", "_fail")
                problems = node.args if fixes or is_problem else []
                for kind, nodes in (("problem", problems), ("fix", fixes)):
                    for each in nodes:
                        yield from ((where, kind, text) for text in texts(each))


MESSAGES = list(messages())


REPOSITORY = ROOT.parent
PRIVATE = re.compile(
    r"\b(mend(s|ed|ing)?|told|whoever|by and by|crew|courier|errand|glance|hush|seat"
    r"|keeps nobody|owed|Recipe|Spool|Shipment|Chatter|Recollection|NotWarm)\b",
    re.IGNORECASE,
)
"""Words that a reader who knows MLflow, Jupyter and asyncio would have to guess."""
READ = [
    *(REPOSITORY / "nbmlops").rglob("*.py"),
    *(REPOSITORY / "labextension" / "src").rglob("*.ts*"),
    *(REPOSITORY / "docs").glob("*.md"),
    *REPOSITORY.glob("*.md"),
]


def test_no_private_word_is_in_the_code_the_docs_or_the_messages():
    assert len(READ) > 300
    found = [
        f"{path.relative_to(REPOSITORY)}:{n}: {line.strip()}"
        for path in READ
        for n, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if PRIVATE.search(line)
    ]
    assert found == []


def test_there_are_messages_to_look_at():
    assert len([each for each in MESSAGES if each[1] == "fix"]) > 200


@pytest.mark.parametrize("name", sorted(IN_PYTHON))
def test_an_option_is_named_so_that_each_door_can_say_it(name):
    reported = [
        (where, text)
        for where, kind, text in MESSAGES
        if re.search(rf"\b{name}\b", CODE.sub("", text))
        and not (kind == "fix" and in_words(text, OPTIONS) != text)
    ]
    assert not reported


def test_no_option_of_the_command_is_in_a_message_for_all_doors():
    reported = [
        (where, text)
        for where, _, text in MESSAGES
        if not where.startswith(DOORS)
        and re.search(r"(^|[\s(])--?[a-z]", CODE.sub("", text))
    ]
    assert not reported


def test_every_option_that_a_fix_names_is_one_of_the_command():
    named = {
        found
        for where, kind, text in MESSAGES
        if kind == "fix" and not where.startswith(DOORS)
        for found in re.findall(r"(?<![\w.-])([a-z]\w*)=", CODE.sub("", text))
    }
    assert {"kernel_name", "name", "port", "path"} <= named
    assert named <= OPTIONS.keys()


def test_the_kernel_is_chosen_in_the_words_of_each_door(project, capsys):
    notebook = write_notebook(project / "a.ipynb", ["1"])
    text = notebook.read_text().replace('"name": "python3"', '"name": "py39_new"')
    notebook.write_text(text)
    with pytest.raises(nm.NotFoundError) as caught:
        nm.run_notebook(notebook)
    assert caught.value.problem == "No kernel 'py39_new' is installed."
    assert re.match(r"Give kernel_name=('python3'\.| one of: )", caught.value.fix)
    assert invoke(["run", "a.ipynb", "o.ipynb", "--cold"]) == 2
    problem, fix = capsys.readouterr().err.splitlines()[-2:]
    assert problem == "No kernel 'py39_new' is installed."
    assert re.match(r"Give --kernel (python3\.|one of: )", fix)


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (
            ["run", "a.ipynb", "--cold", "--timeout", "0"],
            "Give --timeout a number above 0.",
        ),
        (
            ["run", "a.ipynb", "--cold", "--cell-timeout", "-1"],
            "Give --cell-timeout a number",
        ),
        (["run", "a.ipynb", "o.ipynb", "--cwd", ".."], "Leave --cwd out, or move"),
        (["sweep", "a.ipynb"], "Give one of --grid, --sets and --space."),
    ],
)
def test_a_fix_names_the_options_of_the_command(project, store, capsys, words, fix):
    write_notebook(project / "a.ipynb", ["1"])
    assert invoke(words) == 2
    assert fix in capsys.readouterr().err.splitlines()[-1]


def test_a_fix_names_the_options_of_a_magic():
    parser = LineParser("%deploy")
    parser.add_argument("-p", "--port", type=int)
    parser.add_argument("--no-auth", action="store_true")
    with pytest.raises(UsageError) as caught, parser.naming_options():
        raise UsageError("a", fix="Choose port=, no_auth=True or name='x'.")
    assert caught.value.fix == "Choose --port, --no-auth or name='x'."


@pytest.mark.parametrize(
    "text", ["x.port=1", "port==1", "port=1", "--port=x", "report=", "port=(1)"]
)
def test_what_is_no_option_stays(text):
    assert in_words(text, {"port": "--port"}) == text


def test_what_is_recorded_and_what_goes_over_the_wire_is_in_plain_words():
    error = UsageError("Port 80 is in use.", fix="Choose another with port=.")
    assert error.summary == "Port 80 is in use. Choose another with port."
    assert str(error) == "Port 80 is in use. Choose another with port=."


def test_a_value_stays_with_its_option():
    fix = in_words("Run it with step='a b' or force=True.", {"step": "--step"})
    assert (
        in_words(fix, {"step": "--step"}) == "Run it with --step 'a b' or force=True."
    )
