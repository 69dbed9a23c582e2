"""Plans of pipelines, as tables."""

from nbmlops.entities import PipelineReport, PlannedStep
from nbmlops.render.pipelines import PlanView, ReportView


def test_a_plan_says_below_its_table_what_that_cuts():
    why = f"as made by run {'0' * 32}; leaves alone {'notes ' * 20}"
    steps = [PlannedStep(step="a", state="cached", why=why)]
    shown = repr(PlanView("p", steps)).splitlines()
    assert shown[1].endswith("…")
    assert "as made by run 00000000; leaves" in shown[1]
    assert shown[2:] == [f"note: a: {why.strip()}", "note: nothing to run"]


def test_a_report_shows_the_id_of_its_run_and_no_key_of_a_journal():
    def last_line(run_id):
        report = PipelineReport(
            pipeline="p", run_id=run_id, status="FINISHED", duration_s=1, steps=()
        )
        return repr(ReportView(report)).splitlines()[-1]

    assert last_line("0" * 32).endswith("p: FINISHED in 1.0 s, run 00000000")
    assert last_line(f"k{'0' * 31}").endswith("p: FINISHED in 1.0 s")
