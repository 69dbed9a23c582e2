import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { useEffect, useState } from 'react';

import { ProblemNotice } from '../components/problem-notice';
import { RunDetails } from '../components/run-details';
import type { ILiveModel, IProblem, IRun } from '../tokens';
import { FlowDialog } from './flow-dialog';

/** Shows what MLflow has of a run; resolves when it is closed. */
export async function showRunDialog(
  run_id: string,
  model: ILiveModel,
  trans: TranslationBundle
): Promise<void> {
  const body = ReactWidget.create(
    <RunBody run_id={run_id} model={model} trans={trans} />
  );
  await new FlowDialog(trans.__('Run'), body).launch();
}

function RunBody(props: {
  run_id: string;
  model: ILiveModel;
  trans: TranslationBundle;
}) {
  const { run_id, model, trans } = props;
  const [run, setRun] = useState<IRun | null>(null);
  const [problem, setProblem] = useState<IProblem | null>(null);
  useEffect(() => {
    model
      .findRun(run_id)
      .then(setRun, (error: unknown) => setProblem(model.explain(error)));
  }, []);
  if (problem) {
    return <ProblemNotice problem={problem} trans={trans} />;
  }
  return run ? (
    <RunDetails run={run} trans={trans} />
  ) : (
    <p role="status">{trans.__('Reading the run…')}</p>
  );
}
