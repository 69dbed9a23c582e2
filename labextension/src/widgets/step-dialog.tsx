import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import { useEffect } from 'react';

import { ProblemNotice } from '../components/problem-notice';
import { StepFormView } from '../components/step-form';
import { StepProgress } from '../components/step-progress';
import type { ILiveRun, IStepModel } from '../tokens';
import { FlowDialog } from './flow-dialog';
import { showRunDialog } from './run-dialog';

export interface IStepDialogOptions {
  notebook: string;
  model: IStepModel;
  /** Open the executed notebook of a run, which grows while that goes on. */
  onOpenExecuted: (run: ILiveRun) => void;
  trans: TranslationBundle;
}

/**
 * Asks for a notebook's parameters, and follows its run; resolves when it is over.
 *
 * Closed half way, the run goes on and a notification tells how it ends.
 */
export async function showStepDialog(options: IStepDialogOptions): Promise<void> {
  const { model, notebook, trans } = options;
  const body = ReactWidget.create(
    <StepFlow {...options} onClose={() => dialog.reject()} />
  );
  const dialog = new FlowDialog(trans.__('Run as tracked step'), body);
  await dialog.launch();
  if (model.run?.status === 'RUNNING' && model.isStarted) {
    const message = trans.__('Running %1…', notebook);
    const id = Notification.emit(message, 'in-progress');
    const run = await model.finished;
    const isDone = run.status === 'FINISHED';
    Notification.update({
      id,
      message: isDone
        ? trans.__('%1 has run.', notebook)
        : `${run.problem} ${run.fix}`.trim(),
      type: isDone ? 'success' : 'error',
      autoClose: isDone ? 5000 : false
    });
  }
}

function StepFlow(props: IStepDialogOptions & { onClose: () => void }) {
  const { model } = props;
  useEffect(() => void model.load(), []);
  return <UseSignal signal={model.changed}>{() => <StepState {...props} />}</UseSignal>;
}

function StepState(props: IStepDialogOptions & { onClose: () => void }) {
  const { notebook, model, onOpenExecuted, onClose, trans } = props;
  const { run, form, problem } = model;
  const faults = problem?.fields ?? {};
  const known = form?.parameters.map(({ name }) => name) ?? [];
  const isTold = Object.keys(faults).some(name => known.includes(name));
  const notice = problem && !isTold && (
    <ProblemNotice problem={problem} trans={trans} />
  );
  if (run && model.isStarted) {
    return (
      <>
        {notice}
        <StepProgress
          run={run}
          onStop={() => void model.stop()}
          onClose={onClose}
          onOpenExecuted={() => {
            onOpenExecuted(run);
            onClose();
          }}
          onShowRun={run_id => void showRunDialog(run_id, model, trans)}
          trans={trans}
        />
      </>
    );
  }
  if (!form) {
    return (
      notice || <p role="status">{trans.__("Reading the notebook's parameters…")}</p>
    );
  }
  return (
    <>
      {notice}
      <StepFormView
        notebook={notebook}
        form={form}
        faults={faults}
        onSubmit={texts => void model.start(texts)}
        onCancel={onClose}
        trans={trans}
      />
    </>
  );
}
