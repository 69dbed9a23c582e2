"""Model cards, made from what was recorded alone."""

import re

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.errors import NotFoundError

HEADINGS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Training and evaluation data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
]
HOSTILE = "<script>alert(1)</script> | **bold** [x](javascript:alert(1)) `code`"


def train(*, name="age", alias=None, dataset=None, **metrics):
    frame = pd.DataFrame({name: [20.0, 30.0, 64.0]})
    with nm.track("fit", params={"C": 1.0}) as run:
        run.log(**metrics)
        if dataset:
            run.log_dataset(frame, name=dataset)
        run.log_model(LogisticRegression().fit(frame, [0, 1, 1]), frame)
    return nm.register("credit", run=run.run_id, alias=alias)


def test_a_card_has_the_usual_headings_and_the_facts(store):
    train(alias="champion", roc_auc=0.8)
    train(dataset="people", roc_auc=0.75)
    card = nm.card("credit", 2)
    assert re.findall(r"^## (.*)$", card.markdown, re.M) == HEADINGS
    assert "| roc\\_auc | 0.75 | 0.8 | worse |" in card.markdown
    assert "| C | 1.0 |" in card.markdown
    assert "| age | double" in card.markdown
    assert re.search(r"\| people \| \w+ \|", card.markdown)


def test_what_is_not_known_is_said_so(store):
    train(roc_auc=0.8)
    text = nm.card("credit", 1).markdown
    for part in ("Intended use", "Training and evaluation data", "Ethical"):
        after = text[text.index(f"## {part}") :].split("\n\n")[1]
        assert after.startswith("*Not recorded."), part
    assert "**Checks**: *have not run*" in text


def test_the_same_facts_give_the_same_bytes(store, tmp_path):
    train(dataset="people", roc_auc=0.8, accuracy=0.7)
    cards = [nm.card("credit", 1) for _ in range(2)]
    assert cards[0].markdown == cards[1].markdown
    files = [
        card.save(tmp_path / f"{n}.html").read_bytes() for n, card in enumerate(cards)
    ]
    assert files[0] == files[1]


def test_facts_are_shown_as_text(store):
    train(name=HOSTILE, dataset=HOSTILE[:50], roc_auc=0.8)
    store.client.update_model_version("credit", "1", HOSTILE)
    html = nm.card("credit", 1).html
    assert "<script" not in html
    assert "<a " not in html
    assert "<strong>bold" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 2
    assert "default-src 'none'" in html


def test_the_command_prints_it_or_writes_a_file(store, tmp_path, capsys):
    train(roc_auc=0.8)
    assert invoke(["card", "credit", "1"]) == 0
    assert capsys.readouterr().out.startswith("# credit, version 1\n")
    for name, first in (("card.md", "# credit"), ("card.html", "<!doctype html>")):
        assert invoke(["card", "credit", "1", "--output", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text().startswith(first)
    assert invoke(["card", "credit", "7"]) == 2
    with pytest.raises(NotFoundError):
        nm.card("credti", 1)
