import pytest

from nbmlops.cli.main import invoke
from nbmlops.errors import UsageError
from nbmlops.notebook.magics.pipeline_line import pipeline
from tests.kernels import kernel
from tests.pipeline.pipelines import ledger, write_chain


@pytest.mark.kernel
def test_the_magic_runs_a_pipeline_and_shows_how_it_goes(project):
    write_chain(project)
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        reply = k.run("%pipeline run pipeline.yaml -p train.C=3 --jobs 1 --force train")
        assert reply.status == "ok", reply.text
        assert reply.count("update_display_data") >= 3
        assert "train    done" in reply.text
        reply = k.run("%pipeline plan pipeline.yaml -p train.C=3")
        assert "nothing to run" in reply.text
        reply = k.run("%pipeline graph pipeline.yaml")
        assert "<svg" in str(reply.outputs)
        assert "FINISHED" in k.run("%pipeline status pipeline.yaml").text
    assert ledger(project) == ["prepare", "train"]


def test_force_may_stand_before_the_file(project, capsys):
    write_chain(project)
    for words in (["--force"], ["--force", "train", "--force"]):
        plan = pipeline(" ".join(["plan", *words, "pipeline.yaml"]))
        assert [step.state for step in plan.steps] == ["run", "run"]
        assert plan.steps[0].why == "forced"
        assert invoke(["pipeline", "plan", *words, "pipeline.yaml"]) == 0
        assert "forced" in capsys.readouterr().out
    assert invoke(["pipeline", "plan", "--force"]) == 2
    assert "Missing argument 'FILE'." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("rnu pipeline.yaml", "Did you mean 'run'"),
        ("run", "FILE"),
        ("run pipeline.yaml -p train.C", "gives no value"),
        ("plan pipeline.yaml --jobs 2", "--jobs"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused(project, line, problem):
    write_chain(project)
    with pytest.raises(UsageError) as caught:
        pipeline(line)
    assert problem in str(caught.value)
