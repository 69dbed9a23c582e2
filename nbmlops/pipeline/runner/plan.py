"""What a run of a pipeline would do with each step."""

from __future__ import annotations

from nbmlops.entities import PlannedStep, Step
from nbmlops.entities.pipeline import PlanState
from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.pipeline.runner.planner import Planner
from nbmlops.pipeline.runner.step_runs import Decision, StepRun, step_runs_of


def plan(planner: Planner) -> tuple[PlannedStep, ...]:
    """Return what a run would do with each step run, in order."""
    planner = planner.copy()
    planned: list[PlannedStep] = []
    pending: dict[str, PlanState] = {}
    for step in planner.spec.steps:
        before = {name: pending[name] for name in step.needs if name in pending}
        state, steps = _behind(step, before) if before else _plan_step(planner, step)
        planned += steps
        if state != "cached":
            pending[step.name] = state
    return tuple(planned)


def check_needs(planner: Planner, only: str) -> None:
    """Refuse to run one step when one that it needs is not done."""
    for planned in plan(planner):
        name = planned.step.partition("[")[0]
        if name != only and planned.state != "cached":
            raise UsageError(
                f"Step {only!r} needs {planned.step!r}, which is not done: "
                f"{planned.why}.",
                fix=f"Run that first, with step={name!r}.",
            )


def _behind(
    step: Step, before: dict[str, PlanState]
) -> tuple[PlanState, list[PlannedStep]]:
    """Plan a step behind others that may run."""
    sure = [name for name in before if before[name] == "run"]
    which = ", ".join(map(repr, sure or before))
    verb_end = "s" * (len(sure or before) == 1)
    state: PlanState = "run" if sure else "open"
    why = f"depends on what {which} make{verb_end}"
    if sure:
        why = f"behind {which}, which run{verb_end}"
    return state, [
        PlannedStep(step=each.name, state=state, why=why) for each in step_runs_of(step)
    ]


def _plan_step(planner: Planner, step: Step) -> tuple[PlanState, list[PlannedStep]]:
    """Return if the steps behind a step are known, and what its runs would do."""
    decisions: list[Decision] = []
    planned: list[PlannedStep] = []
    for step_run in step_runs_of(step):
        try:
            decision = planner.decide(step_run)
        except NbmlopsError as error:
            planned.append(_will_run(step_run, f"will fail: {error.problem}"))
            continue
        decisions.append(decision)
        entry = decision.entry
        planned.append(
            PlannedStep(
                step=step_run.name,
                state="cached" if entry else "run",
                why=decision.why,
                run_id=entry.get("run_id") if entry else None,
            )
        )
    if len(decisions) < len(planned):
        return "run", planned
    if not all(each.entry for each in decisions):
        # What is forced and was done before may make the same again.
        outputs = planner.outputs(step)
        is_same = all(
            each.entry or planner.cache.find(each.key, outputs) for each in decisions
        )
        return "open" if is_same else "run", planned
    chosen, problem, note = _complete_cached(planner, step, decisions)
    if problem:
        planned[chosen] = _will_run(decisions[chosen].step_run, problem)
        return "run", planned
    found = planned[chosen]
    planned[chosen] = PlannedStep(
        step=found.step, state="cached", why=f"{found.why}{note}", run_id=found.run_id
    )
    return "cached", planned


def _will_run(step_run: StepRun, why: str) -> PlannedStep:
    return PlannedStep(step=step_run.name, state="run", why=why)


def _complete_cached(
    planner: Planner, step: Step, decisions: list[Decision]
) -> tuple[int, str, str]:
    """Note what is restored; return of which run, why it cannot be, and a note."""
    reports = [planner.report_of(each) for each in decisions]
    chosen, note = 0, ""
    try:
        chosen = planner.complete(step, decisions, reports)
        if step.grid and step.select is None:
            return chosen, "", ""
        wanted = (decisions[chosen].entry or {})["outputs"]
        outputs = planner.outputs(step)
        found = outputs.compare(wanted)
        if not planner.cache.has_all(found):
            return chosen, "its files are gone", ""
        planner.made[step.name] = {n: f["sha256"] for n, f in wanted.items()}
        planner.gone |= {*found.stale}
        if found.others:
            note = f"; leaves alone {outputs.named(found.others)}"
    except (NbmlopsError, OSError) as error:
        problem = getattr(error, "problem", f"{error}.")
        return chosen, f"will fail: {problem}", ""
    return chosen, "", note
