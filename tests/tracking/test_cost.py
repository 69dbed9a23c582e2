import subprocess
import sys
import time

import pytest

import nbmlops as nm
from nbmlops.config import Prices
from nbmlops.store.runs.queries import list_runs
from nbmlops.tracking.resources.usage import ResourceUsage

_BURN = "import time\nwhile time.process_time() < 0.6: pass"


def test_peak_is_that_of_the_run_and_not_of_the_process_before_it():
    code = """
import time
from nbmlops.config import Prices
from nbmlops.tracking.resources.usage import ResourceUsage

before = bytearray(b"1") * 400_000_000
del before
for size in (50_000_000, 250_000_000):
    meter = ResourceUsage(Prices())
    held = bytearray(b"1") * size
    time.sleep(0.4)
    print(meter.tags()["nbmlops.cost.peak_rss_bytes"])
    del held
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    with_little, with_much = map(int, done.stdout.split())
    assert 150_000_000 < with_much - with_little < 250_000_000


def test_a_peak_between_two_samples_is_seen():
    code = (
        "from nbmlops.config import Prices\n"
        "from nbmlops.tracking.resources.usage import ResourceUsage\n"
        "meter = ResourceUsage(Prices())\n"
        "x = bytearray(b'1') * 300_000_000; del x\n"
        "print(meter.tags()['nbmlops.cost.peak_rss_bytes'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) > 300_000_000


def test_processor_time_of_children_counts_while_they_run_and_after():
    usage = ResourceUsage(Prices())
    child = subprocess.Popen(
        [sys.executable, "-c", f"{_BURN}\nimport time; time.sleep(60)"]
    )
    deadline = time.monotonic() + 60
    while usage.cpu_s < 0.6 and time.monotonic() < deadline:
        time.sleep(0.1)
    running = usage.cpu_s
    child.kill()
    child.wait()
    assert running >= 0.6
    assert usage.cpu_s == pytest.approx(running, abs=0.3)


def test_money_energy_and_carbon_are_those_of_the_prices():
    prices = Prices(
        usd_per_hour=3.6, watts=100.0, watts_per_core=3600.0, kg_co2_per_kwh=0.5
    )
    usage = ResourceUsage(prices)
    subprocess.run([sys.executable, "-c", _BURN], check=True)
    tags = {name[13:]: float(value) for name, value in usage.tags().items()}
    wall_s, cpu_s = tags["wall_s"], tags["cpu_s"]
    assert cpu_s >= 0.6
    assert tags["usd"] == pytest.approx(0.001 * wall_s, rel=0.02)
    assert tags["energy_wh"] == pytest.approx(wall_s / 36 + cpu_s, rel=0.02)
    assert tags["co2_g"] == pytest.approx(0.5 * tags["energy_wh"], rel=0.02)


def test_without_prices_a_run_tells_no_price(store):
    with nm.track("free", store=store):
        pass
    (run,) = list_runs(store)
    names = {name for name in run.tags if name.startswith("nbmlops.cost.")}
    assert names == {f"nbmlops.cost.{n}" for n in ("wall_s", "cpu_s", "peak_rss_bytes")}


def test_prices_of_the_project_reach_its_runs(project):
    (project / "pyproject.toml").write_text(
        "[tool.nbmlops.cost]\nusd_per_hour = 1.5\nwatts = 40\n", encoding="utf-8"
    )
    with nm.track("paid"):
        pass
    from nbmlops.store import connect

    (run,) = list_runs(connect())
    assert float(run.tags["nbmlops.cost.usd"]) > 0
    assert float(run.tags["nbmlops.cost.energy_wh"]) > 0
    assert "nbmlops.cost.co2_g" not in run.tags
