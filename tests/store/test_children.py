from nbmlops.store.runs import runs
from nbmlops.store.runs.children import may_have_children


def test_a_run_has_children_once_one_names_it(store):
    made = [
        runs.make_run(store, name=name, experiment="e", tags=tags, started_at_ms=1)
        for name, tags in (("a", {}), ("b", {runs.PARENT: "another"}))
    ]
    above = made[0].info.run_id
    assert not may_have_children(store, above)
    runs.make_run(
        store, name="c", experiment="e", tags={runs.PARENT: above}, started_at_ms=2
    )
    assert may_have_children(store, above)
    assert not may_have_children(store, made[1].info.run_id)
