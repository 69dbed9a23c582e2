"""Plans of pipelines, as tables."""

from nbmlops.entities import PlannedStep
from nbmlops.render.pipelines import PlanView


def test_a_plan_says_below_its_table_what_that_cuts():
    why = f"as made by run {'0' * 32}; leaves alone {'notes ' * 20}"
    steps = [PlannedStep(step="a", state="cached", why=why)]
    shown = repr(PlanView("p", steps)).splitlines()
    assert shown[1].endswith("...")
    assert "as made by run 00000000; leaves" in shown[1]
    assert shown[2:] == [f"note: a: {why.strip()}", "note: nothing to run"]
