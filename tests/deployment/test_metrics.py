"""What endpoints have answered, counted by their workers."""

import time

import pytest

from nbmlops.deployment import actions
from nbmlops.deployment.handle import EndpointHandle
from nbmlops.deployment.metrics import list_metrics, quantile_ms
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.serving.metrics import LATENCY_S

from .conftest import stop_endpoints


def test_a_quantile_lies_where_its_share_of_the_bin_is():
    counts = [0] * (len(LATENCY_S) + 1)
    assert quantile_ms(counts, 0.5) is None
    counts[1] = 10  # all from 0.5 to 1 ms
    assert quantile_ms(counts, 0.5) == pytest.approx(0.75)
    assert quantile_ms(counts, 0.99) == pytest.approx(0.995)
    counts[3] = 10  # as many from 2.5 to 5 ms
    assert quantile_ms(counts, 0.75) == pytest.approx(3.75)
    counts[-1] = 1000  # longer than the last bound: at least that
    assert quantile_ms(counts, 0.5) == pytest.approx(10_000)


@pytest.mark.server
def test_a_handle_shows_what_its_versions_answer(store, versions, frame):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    handle = EndpointHandle(store.settings, endpoint)
    (before,) = handle.metrics().versions
    assert (before.n_requests, before.requests_per_s) == (0, 0.0)
    assert before.latency_ms_p50 is before.latency_ms_p99 is None

    for _ in range(5):
        handle.predict(frame)
    with pytest.raises(UsageError):
        handle.send(b"{}")
    deadline = time.monotonic() + 30
    while (found := handle.metrics().versions[0]).n_requests < 6:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (found.version, found.role, found.share) == (1, "champion", 1.0)
    assert (found.n_requests, found.n_refused, found.n_errors) == (6, 1, 0)
    assert found.requests_per_s > 0
    assert 0 < found.latency_ms_p50 <= found.latency_ms_p99

    actions.begin_canary(store, versions[1], name="credit", share=0.1)
    assert [each.share for each in handle.metrics().versions] == [0.9, 0.1]
    listed = list_metrics(store.settings)
    assert [each.role for each in listed["credit"].versions] == ["champion", "canary"]
    text, html = str(handle), handle._repr_html_()
    for shown in ("credit/1", "90%", "credit/2", "10% canary", "ready", "p99 ms"):
        assert shown in text
        assert shown in html
    assert handle.token not in text + html

    stop_endpoints(store.settings)  # as a reboot does
    dead = handle.metrics().versions
    assert [(each.role, each.n_requests) for each in dead] == [
        ("champion", 0),
        ("canary", 0),
    ]
    assert "dead" in str(handle)
    actions.undeploy(store.settings, "credit")
    assert "credit/1" in str(handle)
    with pytest.raises(NotFoundError):
        handle.metrics()
