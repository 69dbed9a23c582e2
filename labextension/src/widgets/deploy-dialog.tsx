import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import { useEffect, useRef, useState } from 'react';

import { DialogButton } from '../components/buttons';
import { DeployForm, type IDeployChoice } from '../components/deploy-form';
import { DeployProgress, DeployResult } from '../components/deploy-progress';
import { NoRun, ProblemNotice } from '../components/problem-notice';
import { RunChooser } from '../components/run-chooser';
import { useTrans } from '../components/trans';
import type {
  ICandidates,
  IDeployment,
  IDeploymentPlan,
  IModelRegistry,
  IProblem
} from '../tokens';
import { FlowDialog } from './flow-dialog';

const TYPING_MS = 300;

export interface IDeployDialogOptions {
  registry: IModelRegistry;
  /** The notebook whose newest run is meant; without it, `version` is. */
  notebook?: string;
  /** The id of its kernel, which knows it by earlier names too. */
  kernel?: string;
  version?: number;
  /** A folder or notebook of the version's project; that in view by default. */
  path?: string;
  choice: IDeployChoice;
  onChosen?: (choice: IDeployChoice) => void;
  trans: TranslationBundle;
}

/**
 * Takes a run or a version to an answering endpoint; resolves when it is closed.
 *
 * When it is closed early, the deployment goes on and a notification says how it ends.
 */
export async function showDeployDialog(options: IDeployDialogOptions): Promise<void> {
  const { notebook, trans } = options;
  let deployment: IDeployment | null = null;
  let finished: Promise<void> = Promise.resolve();
  const start = (next: IDeployment): void => {
    deployment = next;
    finished = next.run();
  };
  const dialog: FlowDialog = new FlowDialog(
    notebook === undefined ? trans.__('Deploy') : trans.__('Register and deploy'),
    <DeployFlow {...options} onStart={start} onClose={() => dialog.reject()} />,
    trans
  );
  await dialog.launch();
  await notify(deployment, finished, trans);
}

async function notify(
  deployment: IDeployment | null,
  finished: Promise<void>,
  trans: TranslationBundle
): Promise<void> {
  if (deployment?.state === 'running') {
    const id = Notification.emit(trans.__('Deploying…'), 'in-progress');
    await finished;
    const { problem, endpoint } = deployment;
    Notification.update({
      id,
      message: problem
        ? `${problem.problem} ${problem.fix}`
        : trans.__('%1 answers at %2', endpoint?.name, endpoint?.url),
      type: problem ? 'error' : 'success',
      autoClose: false
    });
  }
  deployment?.dispose();
}

interface IDeployFlowProps extends IDeployDialogOptions {
  onStart: (deployment: IDeployment) => void;
  onClose: () => void;
}

function DeployFlow(props: IDeployFlowProps) {
  const { registry, notebook, kernel, version, onStart, onClose } = props;
  const trans = useTrans();
  const [choice, setChoice] = useState(props.choice);
  const [candidates, setCandidates] = useState<ICandidates | null>(null);
  const [runId, setRunId] = useState<string | null>(null);
  const [problem, setProblem] = useState<IProblem | null>(null);
  const [deployment, setDeployment] = useState<IDeployment | null>(null);
  const isFresh = useRef({});
  const find = () => {
    if (notebook !== undefined) {
      const asked = (isFresh.current = {});
      setProblem(null);
      registry.findCandidates({ notebook, kernel, ...choice }).then(
        found => asked === isFresh.current && setCandidates(found),
        (error: unknown) => setProblem(registry.explain(error))
      );
    }
  };
  useEffect(() => {
    const timer = setTimeout(find, candidates ? TYPING_MS : 0);
    return () => clearTimeout(timer);
  }, [choice.model, choice.alias]);
  const runs = candidates?.runs ?? [];
  const run = runs.find(({ run_id }) => run_id === runId) ?? runs[0];

  const submit = (chosen: IDeployChoice, share?: number) => {
    const plan: IDeploymentPlan = run
      ? { ...chosen, run_id: run.run_id }
      : { ...chosen, version };
    if (candidates?.endpoint && share !== undefined) {
      plan.canary = { endpoint: candidates.endpoint, share };
    }
    const next = registry.createDeployment(plan, notebook ?? props.path);
    props.onChosen?.(chosen);
    setChoice(chosen);
    setDeployment(next);
    onStart(next);
  };

  if (deployment) {
    return (
      <DeployState
        {...props}
        deployment={deployment}
        onBack={() => setDeployment(null)}
        onRetry={() => onStart(deployment)}
      />
    );
  }
  if (problem && notebook !== undefined) {
    return <ProblemNotice problem={problem} onRetry={find} />;
  }
  if (notebook !== undefined && !candidates) {
    return <p role="status">{trans.__('Looking for runs with a model…')}</p>;
  }
  if (notebook !== undefined && !run) {
    return <NoRun notebook={notebook} />;
  }
  return (
    <DeployForm
      summary={
        candidates && run ? (
          <RunChooser
            candidates={candidates}
            run={run}
            alias={choice.alias}
            onChoose={setRunId}
          />
        ) : (
          <p className="nbmlops-Summary">
            {trans.__('%1 version %2', choice.model, version)}
          </p>
        )
      }
      choice={choice}
      isModelFixed={!run}
      endpoint={candidates?.endpoint}
      onChange={setChoice}
      onSubmit={submit}
      onCancel={onClose}
    />
  );
}

interface IDeployStateProps extends IDeployFlowProps {
  deployment: IDeployment;
  onBack: () => void;
  onRetry: () => void;
}

function DeployState(props: IDeployStateProps) {
  const { deployment, registry, onBack, onRetry, onClose } = props;
  const trans = useTrans();
  return (
    <UseSignal signal={deployment.stateChanged}>
      {() => {
        const { steps, state, problem, endpoint } = deployment;
        const isNothingDone = steps.every(step => step.state !== 'done');
        return (
          <div className="nbmlops-Stack">
            <DeployProgress steps={steps} />
            {problem && <ProblemNotice problem={problem} />}
            {state === 'done' && endpoint && (
              <DeployResult
                endpoint={endpoint}
                onPredict={payload => deployment.predict(payload)}
                explain={registry.explain}
              />
            )}
            <div className="jp-Dialog-footerButtons">
              <DialogButton className="jp-mod-reject" autoFocus onClick={onClose}>
                {state === 'running'
                  ? trans.__('Go on in the background')
                  : trans.__('Close')}
              </DialogButton>
              {state === 'failed' && isNothingDone && (
                <DialogButton onClick={onBack}>{trans.__('Back')}</DialogButton>
              )}
              {state === 'failed' && (
                <DialogButton className="jp-mod-accept" autoFocus onClick={onRetry}>
                  {trans.__('Try again')}
                </DialogButton>
              )}
            </div>
          </div>
        );
      }}
    </UseSignal>
  );
}
