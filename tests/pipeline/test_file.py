# ruff: noqa: E501 - a table of short files
import os
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbmlops.config import load_settings
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.pipeline.runner.planner import Planner
from nbmlops.pipeline.runner.step_runs import StepRun
from nbmlops.pipeline.spec.file import PipelineFileError, read_pipeline
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import write_chain, write_pipeline


@pytest.fixture
def notebooks(project):
    """Write two good notebooks, one file of data and two files that are none."""
    write_chain(project)
    (project / "text.ipynb").write_text("not a notebook", encoding="utf-8")
    (project / "json.ipynb").write_text('{"cells": []}', encoding="utf-8")
    write_notebook(project / "needy.ipynb", [], parameters="target: str")
    return project


def problems_of(folder, text):
    path = write_pipeline(folder, text)
    with pytest.raises(PipelineFileError) as caught:
        read_pipeline(path)
    return [(problem.line, problem.message) for problem in caught.value.problems]


def read_or_problems(path):
    try:
        read_pipeline(path)
    except PipelineFileError as error:
        return error.problems
    return ()


STEP = "steps: {a: {notebook: train.ipynb, %s}}"
BAD = {
    "no mapping": ("- a\n- b", 1, "The file is a list, not a mapping"),
    "empty": ("", 1, "The file is empty, not a mapping"),
    "a text": ("hello", 1, "The file is 'hello', not a mapping"),
    "no YAML": ("a: [1", 1, "This is not YAML"),
    "a tab": ("steps:\n\ta: 1", 2, "This is not YAML"),
    "no steps": ("name: a", 1, "The file has no steps"),
    "unknown key": ("nmae: a\n" + STEP % "", 1, "'nmae' of a pipeline. Did you mean 'name'"),
    "a key twice": ("name: a\nname: b\n" + STEP % "", 2, "The key 'name' is there twice"),
    "unknown key of a step": (STEP % "retires: 1", 1, "Did you mean 'retries'?"),
    "unknown key of select": (
        STEP % "grid: {C: [1.0]}, select: {metrik: a, metric: b}",
        1,
        "'metrik' of select. Did you mean 'metric'?",
    ),
    "a name": ("steps: {a b: {notebook: train.ipynb}}", 1, "cannot be named 'a b'"),
    "a number": (
        "steps: {1: {notebook: train.ipynb}}",
        1,
        "cannot be named '1': begin with a letter or _, and go on with letters, digits, _ and -",
    ),
    "a parameter that is a number": (STEP % "params: {1: a}", 1, "begin with a letter or _"),
    "a merge of no mapping": ("steps: {a: {<<: 1, notebook: train.ipynb}}", 1, "`<<` is not"),
    "a merge of a mapping and a text": (
        "steps: {a: &a {notebook: train.ipynb}, b: {<<: [*a, b]}}",
        1,
        "`<<` is not a mapping, nor a list of mappings",
    ),
    "a merge that is wrong where it stands": (
        "steps:\n  a: &a\n    notebook: train.ipynb\n    retires: 1\n  b:\n    <<: *a",
        4,
        "'retires' of step 'b'. Did you mean 'retries'?",
    ),
    "a merge into itself": ("steps: {a: &a {<<: *a, notebook: train.ipynb}}", 1, "nested too deep"),
    "unknown step": (STEP % "needs: [b]", 1, "'b', which is no step"),
    "unknown parameter": (STEP % "params: {c: 1}", 1, "No parameter 'c'"),
    "mistyped parameter": (STEP % "params: {C: x}", 1, "'C' is 'x' (str), not float"),
    "mistyped shared parameter": (
        "params: {C: x}\n" + STEP % "",
        1,
        "For step 'a': Parameter 'C' is 'x' (str), not float",
    ),
    "unread shared parameter": ("params: {D: 1}\n" + STEP % "", 1, "No step has a parameter 'D'"),
    "missing parameter": (
        "steps:\n  a:\n    notebook: needy.ipynb",
        2,
        "parameter 'target' has no default",
    ),
    "cycle": (
        "steps:\n  a: {notebook: train.ipynb, needs: b}\n"
        "  b: {notebook: train.ipynb, needs: a}",
        2,
        "in a circle: a -> b -> a",
    ),
    "cycle of one": (STEP % "needs: a", 1, "in a circle: a -> a"),
    "missing notebook": (
        "steps:\n  a: {notebook: tarin.ipynb}",
        2,
        "No notebook 'tarin.ipynb'. Did you mean 'train.ipynb'?",
    ),
    "no notebook": ("steps: {a: {notebook: text.ipynb}}", 1, "is not a notebook"),
    "JSON, no notebook": ("steps: {a: {notebook: json.ipynb}}", 1, "is not a notebook"),
    "missing input": (STEP % "inputs: data/row.csv", 1, "Did you mean 'raw.csv'?"),
    "missing glob": (STEP % "inputs: 'data/*.txt'", 1, "No file fits 'data/*.txt'"),
    "missing kernel": (STEP % "kernel: pyhton3", 1, "Did you mean 'python3'?"),
    "two write one": (
        "steps:\n  a: {notebook: train.ipynb, outputs: x/y}\n"
        "  b: {notebook: train.ipynb, outputs: x}",
        3,
        "Steps 'a' and 'b' both write 'x'",
    ),
    "writes its input": (STEP % "inputs: x, outputs: x", 1, "which it writes"),
    "writes a notebook": (STEP % "outputs: prepare.ipynb", 1, "") ,
    "writes the pipeline": (STEP % "outputs: pipeline.yaml", 1, "not to be written"),
    "writes all": (STEP % "outputs: .", 1, "holds the pipeline itself"),
    "an output pattern": (STEP % "outputs: 'x*'", 1, "is a pattern"),
    "grid no list": (STEP % "grid: {C: 1}", 1, "Grid 'C' is 1, not a list"),
    "grid empty": (STEP % "grid: {C: []}", 1, "Grid 'C' is empty, not a list"),
    "grid mistyped": (STEP % "grid: {C: [1.0, x]}", 1, "'C' is 'x' (str), not float"),
    "grid unknown": (STEP % "grid: {D: [1]}", 1, "No parameter 'D'"),
    "grid twice": (STEP % "grid: {C: [1.0, 1.0]}", 1, "a value twice"),
    "grid too large": (
        STEP % f"grid: {{n: {list(range(1001))}}}",
        1,
        "is 1001 runs, above 1000",
    ),
    "grid seen without select": (
        "steps:\n  a: {notebook: train.ipynb, grid: {C: [1.0]}}\n"
        "  b: {notebook: train.ipynb, params: {C: '${{ steps.a.values.score }}'}}",
        3,
        "has a grid: it needs a select",
    ),
    "select without grid": (STEP % "select: {metric: a}", 1, "no grid to select from"),
    "select without metric": (
        STEP % "grid: {C: [1.0]}, select: {mode: max}",
        1,
        "names no metric",
    ),
    "select of a metric that does not tell": (
        STEP % "grid: {C: [1.0]}, select: {metric: area}",
        1,
        "'area' does not tell whether a small or a large value is better. "
        "Say so: mode: min or mode: max.",
    ),
    "select mode": (
        STEP % "grid: {C: [1.0]}, select: {metric: a, mode: maxx}",
        1,
        "'maxx', not max or min. Did you mean 'max'?",
    ),
    "retries": (STEP % "retries: -1", 1, "`retries` is -1, not a whole number"),
    "retries true": (STEP % "retries: true", 1, "`retries` is true, not a whole number"),
    "retry_on": (STEP % "retry_on: [dead]", 1, "No end of a step is called 'dead'"),
    "timeout_s": (STEP % "timeout_s: 0", 1, "`timeout_s` is 0, not seconds above 0"),
    "cell": (STEP % "cell_timeout_s: a", 1, "`cell_timeout_s` is 'a'"),
    "cache": (STEP % "cache: 'no'", 1, "`cache` is 'no', not true or false"),
    "once without cache": (STEP % "cache: false, once: true", 1, "its cache is off"),
    "cron": (
        "triggers: [{on: schedule, cron: '0 25 * * *'}]\n" + STEP % "",
        1,
        "Bad cron: The hour '25' is not from 0 to 23.",
    ),
    "cron fields": (
        "triggers: [{on: schedule, cron: '0 3 * *'}]\n" + STEP % "",
        1,
        "has 4 fields",
    ),
    "trigger": ("triggers: [{on: dirft}]\n" + STEP % "", 1, "Did you mean 'drift'?"),
    "trigger without": ("triggers: [{on: data}]\n" + STEP % "", 1, "has no paths"),
    "trigger share": (
        "triggers: [{on: drift, endpoint: a, share: 30}]\n" + STEP % "",
        1,
        "`share` is 30, not a share from 0 to 1",
    ),
    "trigger outside": (
        STEP % "" + "\ntriggers:\n- on: data\n  paths: [../x]",
        4,
        "outside of the project",
    ),
    "template step": (
        STEP % "params: {C: '${{ steps.b.values.x }}'}",
        1,
        "The template names 'b', which is no step",
    ),
    "template value": (
        "steps:\n  p: {notebook: prepare.ipynb}\n"
        "  a: {notebook: train.ipynb, params: {C: '${{ steps.p.values.row }}'}}",
        3,
        "Step 'p' emits no 'row'. Did you mean 'rows'?",
    ),
    "template param": (
        "steps:\n  p: {notebook: prepare.ipynb}\n"
        "  a: {notebook: train.ipynb, params: {C: '${{ steps.p.params.time }}'}}",
        3,
        "Step 'p' has no param 'time'. Did you mean 'times'?",
    ),
    "template kind": (
        "steps:\n  p: {notebook: prepare.ipynb}\n"
        "  a: {notebook: train.ipynb, params: {C: '${{ steps.p.value.rows }}'}}",
        3,
        "A step has no 'value'",
    ),
    "template form": (STEP % "params: {C: '${{ b }}'}", 1, "cannot be read"),
    "template open": (STEP % "params: {C: '${{ steps.a.run_id'}", 1, "has no end"),
    "template in an input": (STEP % "inputs: '${{ steps.a.run_id }}'", 1, "a template"),
    "template elsewhere": (
        "steps:\n  a: {notebook: train.ipynb}\n  b:\n    register:\n"
        "      from: a\n      model: '${{ steps.a.values.score }}'",
        6,
        "`model` has a template; params alone can.",
    ),
    "template in a list of the grid": (
        STEP % "grid: {n: [1, ['${{ steps.a.run_id }}']]}", 1, "Grid 'n' has a template"
    ),
    "outside": (STEP % "inputs: ../x", 1, "'../x' is outside of the project"),
    "outside, absolute": (STEP % "outputs: /tmp/x", 1, "outside of the project"),
    "notebook outside": ("steps: {a: {notebook: ../a.ipynb}}", 1, "outside of the project"),
    "URL": (STEP % "inputs: 'http://a/b'", 1, "is a URL"),
    "into .nbmlops": (STEP % "outputs: .nbmlops/x", 1, "not to be written"),
    "check": ("steps: {a: {check: {model: m}}}", 1, "which pipelines cannot do yet"),
    "two kinds": (
        "steps: {a: {notebook: train.ipynb, register: {model: m, from: a}}}",
        1,
        "has notebook and register: it can have one",
    ),
    "no kind": ("steps: {a: {needs: []}}", 1, "has no notebook, register or deploy"),
    "register from nothing": ("steps: {a: {register: {model: m}}}", 1, "names no step"),
    "deploy of nothing": ("steps: {a: {deploy: {endpoint: e}}}", 1, "does not say what"),
    "canary": (
        "steps: {a: {deploy: {endpoint: e, model: m, canary: 10%}}}",
        1,
        "Canaries cannot be deployed yet",
    ),
    "a tag": ("name: !!python/object:os.system x\n" + STEP % "", 1, "is not known"),
    "deep": ("name: " + "[" * 100 + "]" * 100 + "\n" + STEP % "", 1, "too deep"),
    "bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
            for a, b in zip("abcdef", "bcdefg", strict=True)
        )
        + STEP % "",
        5,
        "too deep or too long",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_its_line_and_reason(notebooks, case):
    text, line, problem = BAD[case]
    if case == "writes a notebook":
        text = (
            "steps:\n  a: {notebook: train.ipynb, outputs: prepare.ipynb}\n"
            "  b: {notebook: prepare.ipynb}"
        )
        line, problem = 2, "'prepare.ipynb' is not to be written"
    problems = problems_of(notebooks, text)
    assert any(at == line and problem in text for at, text in problems), problems


def test_all_problems_are_reported_at_once(notebooks):
    problems = problems_of(
        notebooks,
        """\
        nmae: churn
        steps:
          a:
            notebook: tarin.ipynb
            retries: many
          b:
            notebook: train.ipynb
            needs: [a, c]
            params: {C: x, D: 1}
            inputs: [nothing.csv, ../x]
        """,
    )
    assert [line for line, _ in problems] == [1, 4, 5, 8, 9, 9, 10, 10]


def test_the_error_names_the_file_and_nothing_was_run(notebooks):
    path = write_pipeline(notebooks, "steps: {a: {notebook: x.ipynb}}")
    with pytest.raises(UsageError) as caught:
        read_pipeline("pipeline.yaml")
    assert str(caught.value).startswith("pipeline.yaml has 1 problem:\n  line 1: No ")
    assert path.exists()
    assert not (notebooks / ".nbmlops" / "mlflow.db").exists()


def test_a_missing_file_names_the_nearest(notebooks):
    with pytest.raises(NotFoundError, match=r"Did you mean 'pipeline.yaml'\?"):
        read_pipeline("pipelin.yaml")


def test_a_link_out_of_the_project_is_outside_and_its_target_is_named(
    notebooks, tmp_path
):
    (tmp_path / "secret.csv").write_text("x", encoding="utf-8")
    (notebooks / "link.csv").symlink_to(tmp_path / "secret.csv")
    ((_, problem),) = problems_of(notebooks, STEP % "inputs: link.csv")
    target = str(tmp_path / "secret.csv")
    assert f"'link.csv' is a link to {target!r}, outside of the project" in problem
    assert "data_folders of [tool.nbmlops]" in problem
    (notebooks / "linked").symlink_to(tmp_path)
    ((_, problem),) = problems_of(notebooks, STEP % "outputs: linked/new.csv")
    behind = f"is behind the link 'linked' to {str(tmp_path)!r}, outside"
    assert behind in problem
    assert "data_folders" not in problem  # what is written stays inside
    ((_, problem),) = problems_of(notebooks, STEP % "inputs: linked/*.csv")
    assert f"is a link to {str(tmp_path)!r}, outside" in problem


@pytest.mark.parametrize("by", ["file", "variable"])
def test_inputs_may_be_in_data_folders_and_their_content_counts(
    notebooks, tmp_path, monkeypatch, by
):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "x.csv").write_text("1", encoding="utf-8")
    (notebooks / "linked").symlink_to(shared)
    if by == "file":
        (notebooks / "pyproject.toml").write_text(
            '[tool.nbmlops]\ndata_folders = ["../shared"]\n', encoding="utf-8"
        )
    else:
        monkeypatch.setenv("NBMLOPS_DATA_FOLDERS", f"/nowhere{os.pathsep}{shared}")
    texts = ["linked", "linked/*.csv", "../shared/x.csv", str(shared)]
    for text in texts:
        path = write_pipeline(notebooks, STEP % f"inputs: ['{text}']")
        seen = []
        for content in ("1", "2", "1"):
            (shared / "x.csv").write_text(content, encoding="utf-8")
            spec, signatures = read_pipeline(path)
            planner = Planner(spec, signatures, load_settings())
            seen.append(planner.decide(StepRun(step=spec.steps[0])).parts["inputs"])
        assert len(seen[0]) == 1
        assert seen[0] == seen[2] != seen[1]
    for text in ("outputs: ../shared/y", "inputs: ../other", "outputs: linked/y"):
        ((_, problem),) = problems_of(notebooks, STEP % text)
        assert "outside of the project" in problem


def test_keys_are_merged_and_those_of_the_step_win(notebooks):
    path = write_pipeline(
        notebooks,
        """\
        steps:
          a: &a {notebook: train.ipynb, timeout_s: 60, retries: 1}
          b: {<<: *a, needs: [a], retries: 2}
          c: {<<: [{retries: 3, cache: false}, *a]}
        """,
    )
    found = {step.name: step for step in read_pipeline(path)[0].steps}
    assert [found[n].timeout_s for n in "abc"] == [60, 60, 60]
    assert [found[n].retries for n in "abc"] == [1, 2, 3]
    assert [found[n].cache for n in "abc"] == [True, True, False]
    assert found["b"].needs == ("a",)


def test_steps_come_behind_what_they_need_in_the_order_of_the_file(notebooks):
    path = write_pipeline(
        notebooks,
        """\
        steps:
          last: {notebook: train.ipynb, needs: [b]}
          b: {notebook: train.ipynb, params: {n: "${{ steps.a.values.rows }}"}}
          c: {notebook: train.ipynb, inputs: ["build/*.txt"]}
          a: {notebook: prepare.ipynb, outputs: [build/clean.txt]}
        """,
    )
    spec, _ = read_pipeline(path)
    assert {step.name: step.needs for step in spec.steps} == {
        "a": (),
        "b": ("a",),
        "last": ("b",),
        "c": ("a",),
    }
    assert spec.downstream({"a"}) == {"b", "c", "last"}
    assert spec.experiment == spec.name == notebooks.name


def test_words_are_read_as_yaml_1_2_does(notebooks):
    path = write_pipeline(
        notebooks,
        """\
        triggers: [{on: schedule, cron: "*/5 0-6,22 * jan-mar mon"}]
        steps: {a: {notebook: train.ipynb, params: {C: 1e-3, n: 0x10}}}
        """,
    )
    spec, _ = read_pipeline(path)
    assert spec.triggers[0].on == "schedule"
    assert spec.steps[0].params == {"C": 0.001, "n": 16}


def test_a_file_with_braces_and_marks_in_its_name_is_that_file(notebooks):
    (notebooks / "raw {1} [a].csv").write_text("x", encoding="utf-8")
    path = write_pipeline(notebooks, STEP % "inputs: ['raw {1} [a].csv']")
    assert read_pipeline(path)[0].steps[0].inputs == ("raw {1} [a].csv",)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "params",
                    "steps",
                    "triggers",
                    "a",
                    "b",
                    "notebook",
                    "needs",
                    "inputs",
                    "outputs",
                    "grid",
                    "C",
                    "select",
                    "metric",
                    "retries",
                    "register",
                    "deploy",
                    "model",
                    "from",
                    "on",
                    "cron",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(document=documents)
def test_any_document_is_read_or_refused_with_lines(notebooks, document):
    import yaml

    path = notebooks / "any.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    n_lines = len(path.read_text(encoding="utf-8").splitlines()) + 1
    assert all(1 <= problem.line <= n_lines for problem in read_or_problems(path))


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(alphabet="abC:{}[]-,'\"\n #&*!|>%@`0.", max_size=60))
def test_any_text_is_read_or_refused(notebooks, text):
    path = notebooks / "any.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    read_or_problems(path)
