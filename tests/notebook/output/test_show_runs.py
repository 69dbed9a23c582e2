"""What a kernel displays of a table of runs."""

import re

import pytest

from nbmlops.errors import UsageError
from nbmlops.store.runs import runs
from tests.kernels import kernel

VIEW = "application/vnd.jupyter.widget-view+json"
HOSTILE = "<img src=x onerror='window.hacked=1'>"


def make(store, name, *, tags=None, params=None, **metrics):
    run_id = runs.create_run(store, name=name, experiment="my project", tags=tags or {})
    runs.log_values(store, run_id, metrics=metrics, params=params)
    return run_id


def shown(reply):
    return [
        message["content"]["data"]
        for message in reply.outputs
        if message["msg_type"] in ("display_data", "execute_result")
    ]


@pytest.mark.kernel
def test_a_table_that_stays_and_one_to_click_are_two_outputs(store, project):
    for auc in (0.5, 0.9):
        make(store, "it", auc=auc)
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        reply = k.run("%runs --by auc --columns auc")
        kept = k.run("_.page.items[0].metrics")
        k.run("%unload_ext nbmlops")
        plain = k.run("import nbmlops as nm; nm.runs()")
    stays, clicked = shown(reply)
    assert set(stays) == {"text/html", "text/plain"}
    assert "<table" in stays["text/html"]
    assert "0.9" in stays["text/plain"]
    assert set(clicked) == {VIEW, "text/plain"}
    assert clicked["text/plain"] == ""
    (name,) = re.findall(r'<div class="(nbmlops-shown-\w+)">', stays["text/html"])
    states = [
        message["content"]["data"]["state"].get("value", "")
        for message in reply.outputs
        if message["msg_type"] == "comm_open"
    ]
    assert any(f".{name}{{display:none}}" in str(value) for value in states)
    assert "{'auc': 0.9}" in kept.text
    assert [set(data) for data in shown(plain)] == [{"text/html", "text/plain"}]


@pytest.mark.kernel
def test_a_step_and_an_empty_table_have_nothing_to_click(store, project):
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        empty = k.run("%runs")
    assert [set(data) for data in shown(empty)] == [{"text/html", "text/plain"}]
    make(store, "it")
    with kernel(project, env={"MLFLOW_RUN_CONTEXT": "{}"}) as k:
        k.run("%load_ext nbmlops")
        reply = k.run("%runs")
    assert [set(data) for data in shown(reply)] == [{"text/html", "text/plain"}]


@pytest.fixture
def browser(store):
    """Return a function that makes a table to click in, over runs of this store."""
    import nbmlops as nm
    from nbmlops.notebook.output.runs_grid import RunsBrowser

    made = []

    def make_browser(compare=None, **query):
        table = nm.runs(store=store, **query)
        made.append(RunsBrowser(table.listing, compare=compare, keep=table.keep))
        return made[-1]

    yield make_browser
    for each in made:
        each.close()


def columns(browser):
    """Return the title and the body of each column."""
    boxes = [box.children for box in browser.widget.children[2].children]
    return [box for box in boxes if "HTML" in type(box[-1]).__name__]


def bodies(browser):
    return [body.value for _, body in columns(browser)]


def texts(browser):
    return [re.sub("<[^>]+>", " ", body).split() for body in bodies(browser)]


def press(browser, name):
    (title,) = [title for title, _ in columns(browser) if title.description == name]
    title.click()


def test_numbers_are_sorted_as_numbers_and_hidden_columns_stay_when_sorted(
    store, browser
):
    for C in ("10", "9", "0.5"):
        make(store, f"C{C}", params={"C": C, "same": "x"})
    shown = browser()
    press(shown, "C")
    assert texts(shown)[1] == ["C0.5", "C9", "C10"]
    press(shown, "C ▲")
    assert texts(shown)[1] == ["C10", "C9", "C0.5"]


def test_the_filter_of_the_table_stays_beside_what_is_typed(store, browser):
    for name, auc in (("a1", 0.1), ("a2", 0.9), ("b", 0.9)):
        make(store, name, auc=auc)
    shown = browser(filter="metrics.auc > 0.5")
    assert texts(shown)[1] == ["b", "a2"]
    shown._field.value = "A"
    assert texts(shown)[1] == ["a2"]


def test_a_third_selection_takes_the_place_of_the_first(store, browser):
    class Compared:
        def __init__(self, *ids):
            self.ids = ids

        def _repr_html_(self):
            return " ".join(self.ids)

    ids = [make(store, name) for name in ("a", "b", "c")][::-1]
    shown = browser(compare=Compared)
    checks = shown.widget.children[2].children[0].children[1:]
    assert shown._compare.disabled
    for check in checks:
        check.value = True
    assert [check.value for check in checks] == [False, True, True]
    shown._compare.click()
    assert shown._result.value == " ".join(ids[1:])
    checks[1].value = False
    assert shown._compare.disabled


def test_what_fails_in_a_button_is_shown_escaped(store, browser):
    def fail(*_):
        raise UsageError(HOSTILE, fix="Fix it.")

    for name in ("a", "b"):
        make(store, name)
    shown = browser(compare=fail)
    for check in shown.widget.children[2].children[0].children[1:]:
        check.value = True
    shown._compare.click()
    assert "&lt;img" in shown._result.value
    assert "<img" not in shown._result.value
    assert "Fix it." in shown._result.value


def test_hostile_texts_stay_texts(store, browser):
    tags = {"nbmlops.attempt_of": HOSTILE}
    for attempt in ("1", "2"):
        attempt_tags = tags | {"nbmlops.attempt": attempt}
        make(store, HOSTILE, tags=attempt_tags, params={"p": HOSTILE})
    shown = browser(columns="name,p")
    shown._fold(shown._listing.page().items[0])
    assert len(texts(shown)[0]) == 2
    whole = "".join([*bodies(shown), shown._notes.value])
    assert "<img" not in whole
    assert whole.count("&lt;img") == 4


def test_closing_leaves_no_widget_behind(store, browser):
    from ipywidgets.widgets.widget import _instances

    for number in range(30):
        make(store, f"r{number}", auc=number)
    before = set(_instances)
    shown = browser()
    shown._turn(1)
    press(shown, "auc")
    assert len(set(_instances) - before) > 50
    shown.close()
    assert set(_instances) - before == set()
