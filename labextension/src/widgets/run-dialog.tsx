import type { TranslationBundle } from '@jupyterlab/translation';
import { useEffect, useState } from 'react';

import { ProblemNotice } from '../components/problem-notice';
import { RunDetails } from '../components/run-details';
import { useTrans } from '../components/trans';
import type { ILiveModel, IProblem, IRun } from '../tokens';
import { FlowDialog } from './flow-dialog';

/** Shows what MLflow has of a run; resolves when it is closed. */
export async function showRunDialog(
  run_id: string,
  model: ILiveModel,
  trans: TranslationBundle
): Promise<void> {
  const body = <RunBody run_id={run_id} model={model} />;
  await new FlowDialog(trans.__('Run'), body, trans).launch();
}

function RunBody({ run_id, model }: { run_id: string; model: ILiveModel }) {
  const trans = useTrans();
  const [run, setRun] = useState<IRun | null>(null);
  const [problem, setProblem] = useState<IProblem | null>(null);
  useEffect(() => {
    model
      .findRun(run_id)
      .then(setRun, (error: unknown) => setProblem(model.explain(error)));
  }, []);
  if (problem) {
    return <ProblemNotice problem={problem} />;
  }
  return run ? (
    <RunDetails run={run} />
  ) : (
    <p role="status">{trans.__('Reading the run…')}</p>
  );
}
