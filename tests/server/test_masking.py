"""No secret is in an answer that tells an error, or in the server's log."""

import logging

from tests.marked import marked


async def test_errors_are_reported_without_secrets(call, recorded, caplog):
    caplog.set_level(logging.DEBUG)
    reported = []
    for m in marked(2):
        for method, route, body, query in (
            ("GET", "runs", None, {"filter": m.said}),
            ("GET", "runs", None, {"experiment": m.said}),
            ("GET", "runs", None, {"order_by": m.said}),
            ("GET", "models", None, {"limit": m.said[:80]}),
            ("POST", "models/credit/versions", {"run_id": m.said}, {}),
            ("PUT", "endpoints/x", {"model": m.said, "alias": m.said}, {}),
        ):
            status, error = await call(method, route, body, **query)
            assert 400 <= status < 500, error
            reported.append(f"{error['message']} {error['fix']}")
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("nbmlops")]
    assert ours
    text = "\n".join([*reported, *ours])
    assert not [m.kind for m in marked(2) for n in m.needles if n in text]
