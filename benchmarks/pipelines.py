"""What a pipeline with nothing to do takes, with few and with many kept results.

Ten notebooks that add one run as a pipeline; the same command again, n times, and the
same in one session of Python, as in a notebook; then with 100 and 100,000 results in
the cache, interleaved. Last, ten notebooks that each cross-validate a forest. With
``kills N`` it kills N pipelines at random points instead, and runs the same command
again.

    python benchmarks/pipelines.py [ROUNDS] [ENTRIES]
    python benchmarks/pipelines.py kills [N] [SEED]
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from nbmlops.entities import Step  # noqa: E402
from nbmlops.pipeline.cache.step_cache import Cache  # noqa: E402
from tests.faults.pipeline_kills import kill_pipelines  # noqa: E402
from tests.notebooks import write_notebook  # noqa: E402
from tests.pipeline.pipelines import is_sender, wait_until  # noqa: E402

ENV = {
    **{
        k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "NBMLOPS_"))
    },
    "PYTHONPATH": str(ROOT),
}
ENV.pop("PYTHONDONTWRITEBYTECODE", None)


FIT = """
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
forest = RandomForestClassifier(200, random_state=x)
print(cross_val_score(forest, *load_digits(return_X_y=True)).mean())
"""


def write_chain(folder: Path, n: int = 10, work: str = "") -> None:
    """Write a pipeline of ``n`` notebooks, each with a value from the one before."""
    (folder / ".nbmlops").mkdir(parents=True)
    cell = f"import pandas as pd, nbmlops as nm\nnm.emit(y=x + 1){work}"
    steps = []
    for i in range(n):
        write_notebook(folder / f"s{i}.ipynb", [cell], parameters="x: int = 0")
        x = f"${{{{ steps.s{i - 1}.values.y }}}}" if i else 0
        steps.append(f"  s{i}: {{notebook: s{i}.ipynb, params: {{x: '{x}'}}}}")
    steps[0] = "  s0: {notebook: s0.ipynb}"
    text = "\n".join(["steps:", *steps, ""])
    (folder / "pipeline.yaml").write_text(text, encoding="utf-8")


def timed(folder: Path, word: str) -> float:
    """Return the seconds that the command takes."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "nbmlops.cli", "pipeline", word, "pipeline.yaml"]
    subprocess.run(words, cwd=folder, env=ENV, check=True, capture_output=True)
    took = time.perf_counter() - began
    # What sends its runs would be in the way: no user's next command is as soon.
    wait_until(lambda: not any(map(is_sender, psutil.process_iter())))
    return took


SESSION = """
import json, time
import nbmlops as nm
pipeline, took = nm.Pipeline.load("pipeline.yaml"), []
for n in range({rounds} + 2):
    began = time.perf_counter()
    report = pipeline.run(force=not n).report
    took.append(time.perf_counter() - began)
    assert {{step.state for step in report.steps}} == {{"cached" if n else "done"}}
print(json.dumps(took))
"""


def timed_in_session(folder: Path, rounds: int) -> tuple[float, float]:
    """Return the seconds of a run, and of one with nothing changed, in one process."""
    code = SESSION.format(rounds=rounds)
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=ENV,
        check=True,
        capture_output=True,
        text=True,
    )
    whole, _, *again = json.loads(said.stdout.splitlines()[-1])
    return whole, statistics.median(again)


def fill(folder: Path, n: int) -> list[str]:
    """Put ``n`` small results into the cache of a project, and return their keys."""
    cache = Cache(folder / ".nbmlops")
    keys = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(n)]
    body = {"pipeline": "p", "step": "s", "run_id": "r", "values": {}, "metrics": {}}
    body |= {"duration_s": 0.0}
    for key in keys:
        cache.keep(key, body, {})
        cache.set_last(key, key, {}, 0.0)
    return keys


def look_up_us(folder: Path, keys: list[str]) -> float:
    """Return the microseconds that finding a result takes, half of them not there."""
    cache = Cache(folder / ".nbmlops")
    step = Step(name="s", line=1, notebook="s.ipynb")
    outputs = cache.outputs(step, folder)
    asked = [
        each for key in keys[:: len(keys) // 100][:100] for each in (key, key[::-1])
    ]
    began = time.perf_counter()
    for key in asked:
        cache.find(key, outputs)
    return 1e6 * (time.perf_counter() - began) / len(asked)


def main() -> None:
    """Measure and print."""
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        if words[:1] == ["kills"]:
            n = int(words[1]) if len(words) > 1 else 50
            seed = int(words[2]) if len(words) > 2 else 20261120
            tally = kill_pipelines(n, seed, folder=Path(scratch))
            print(json.dumps(tally, indent=2))
            return
        rounds = int(words[0]) if words else 7
        n_entries = int(words[1]) if len(words) > 1 else 100_000
        few, many = Path(scratch, "few"), Path(scratch, "many")
        whole = []
        for folder in (few, many):
            write_chain(folder)
            whole.append(timed(folder, "run"))
            timed(folder, "run")
        run_s, again_s = timed_in_session(few, rounds)
        keys = {few: fill(few, 100), many: fill(many, n_entries)}
        seconds: dict[tuple[str, Path], list[float]] = {}
        for _ in range(rounds):
            for folder in (few, many):
                for word in ("run", "plan"):
                    seconds.setdefault((word, folder), []).append(timed(folder, word))
            for folder in (few, many) * 5:
                found = look_up_us(folder, keys[folder])
                seconds.setdefault(("look-up", folder), []).append(found)
        middle = {name: statistics.median(each) for name, each in seconds.items()}
        again = middle["run", few]
        print(f"10 steps, run           {statistics.mean(whole):.2f} s")
        print(f"nothing changed, run    {again:.2f} s, {whole[0] / again:.0f}x faster")
        print(
            f"in one session, run {run_s:.2f} s, nothing changed {again_s:.3f} s, "
            f"{run_s / again_s:.0f}x faster"
        )
        for word, unit in (("run", "s"), ("plan", "s"), ("look-up", "us")):
            a, b = middle[word, few], middle[word, many]
            print(
                f"{word:8} with 100 and {n_entries:,} results kept: {a:.3g} and "
                f"{b:.3g} {unit}, {b / a:.2f}x"
            )
        forests = Path(scratch, "forests")
        write_chain(forests, work=FIT)
        run_s = timed(forests, "run")
        again = statistics.median(timed(forests, "run") for _ in range(rounds))
        print(f"10 steps that fit forests, run  {run_s:.2f} s")
        print(f"nothing changed, run    {again:.2f} s, {run_s / again:.0f}x faster")


if __name__ == "__main__":
    main()
