"""The line on a run, below its cell."""

from nbmlops.render.tables import RunLine

NOTE = "a run from the top would treat [4], [5] differently"


def test_the_line_has_a_badge_and_a_note_when_the_run_was_out_of_order():
    line = RunLine("fit <b>", "3f2a91c0" * 4, ["score 60"], ["mind"], order_note=NOTE)
    assert repr(line).splitlines() == [
        "run fit <b> 3f2a91c0 · score 60 · out of order",
        f"note: out of order: {NOTE}",
        "note: mind",
    ]
    html = line._repr_html_()
    assert f'title="{NOTE}">out of order</span>' in html
    assert f"<br>note: out of order: {NOTE}<br>" in html
    assert "<b>" not in html


def test_the_line_has_no_badge_when_the_order_was_clean():
    line = RunLine("fit", "3f2a91c0" * 4, ["score 60"])
    assert repr(line) == "run fit 3f2a91c0 · score 60"
    assert "title=" not in line._repr_html_()
