import { Clipboard } from '@jupyterlab/apputils';
import { useId, useState } from 'react';

import type {
  EndpointAction,
  IEndpointDetail,
  IEndpointMetrics,
  IModelVersion,
  IProblem
} from '../../tokens';
import { CopyButton, SmallButton } from '../buttons';
import { EndpointState } from '../endpoint-state';
import { PredictForm } from '../predict-form';
import { ProblemNotice } from '../problem-notice';
import { useTrans } from '../trans';
import { MetricsTable } from './metrics-table';
import { type IRolloutActions, RolloutForm } from './rollout-form';
import { toCurl, toPython } from './snippets';

export interface IEndpointViewProps extends IRolloutActions {
  name: string;
  endpoint: IEndpointDetail | null;
  history: readonly IEndpointMetrics[];
  /** How many readings a curve has room for. */
  nReadings: number;
  versions: readonly IModelVersion[];
  action: EndpointAction | null;
  message: string;
  problem: IProblem | null;
  readProblem: IProblem | null;
  /** The end of the log, while it is shown. */
  log: readonly string[] | null;
  onLog: (isShown: boolean) => void;
  onRetry: () => void;
  onPredict: (payload: string) => Promise<unknown>;
  explain: (error: unknown) => IProblem;
}

/** One endpoint: what serves, how it does, and what can be done about it. */
export function EndpointView(props: IEndpointViewProps) {
  const { endpoint, history, nReadings, message, problem, readProblem } = props;
  const trans = useTrans();
  const id = useId();
  return (
    <div className="nbmlops-Endpoint nbmlops-Stack">
      {endpoint && <Header endpoint={endpoint} />}
      <p role="status" className="nbmlops-Endpoint-message">
        {message ||
          (endpoint || readProblem ? '' : trans.__('Reading endpoint %1…', props.name))}
      </p>
      {problem && <ProblemNotice problem={problem} />}
      {readProblem && !message && (
        <ProblemNotice problem={readProblem} onRetry={props.onRetry} />
      )}
      {endpoint && (
        <>
          <section
            className="nbmlops-Endpoint-scroll"
            tabIndex={0}
            aria-label={trans.__('Versions')}
          >
            <MetricsTable history={history} n={nReadings} />
          </section>
          <RolloutForm {...props} endpoint={endpoint} />
          <section className="nbmlops-Stack" aria-labelledby={`${id}row`}>
            <h2 id={`${id}row`}>{trans.__('Try a row')}</h2>
            <PredictForm
              key={endpoint.columns.map(({ name }) => name).join()}
              example={endpoint.example}
              columns={endpoint.columns}
              version={endpoint.version}
              onPredict={props.onPredict}
              explain={props.explain}
            />
          </section>
          <details
            className="nbmlops-Stack"
            onToggle={event => props.onLog(event.currentTarget.open)}
          >
            <summary>{trans.__('Log')}</summary>
            {props.log && (
              <pre tabIndex={0} aria-label={trans.__('Last lines of the log')}>
                {props.log.join('\n') || trans.__('The log is empty.')}
              </pre>
            )}
          </details>
        </>
      )}
    </div>
  );
}

function Header({ endpoint }: { endpoint: IEndpointDetail }) {
  const { name, model, version, alias, url, state, message } = endpoint;
  const trans = useTrans();
  return (
    <header className="nbmlops-Stack">
      <div className="nbmlops-Line">
        <h1>{name}</h1>
        <EndpointState state={state} />
        <span>{trans.__('%1 version %2', model, version)}</span>
        {alias && <span className="nbmlops-Chip nbmlops-Ellipsis">{alias}</span>}
      </div>
      {message && <p className="nbmlops-Fine">{message}</p>}
      <div className="nbmlops-Line">
        <div className="nbmlops-Url">
          <code className="nbmlops-Ellipsis" title={url}>
            {url}
          </code>
          <CopyButton url={url} />
        </div>
        <CopyText label={trans.__('Copy as curl')} text={() => toCurl(endpoint)} />
        <CopyText label={trans.__('Copy as Python')} text={() => toPython(endpoint)} />
      </div>
    </header>
  );
}

/** Copies a text that is made when it is asked for, and says so. */
function CopyText({ label, text }: { label: string; text: () => string }) {
  const trans = useTrans();
  const [isCopied, setCopied] = useState(false);
  return (
    <>
      <SmallButton
        onBlur={() => setCopied(false)}
        onClick={() => {
          Clipboard.copyToSystem(text());
          setCopied(true);
        }}
      >
        {label}
      </SmallButton>
      <span role="status" className="nbmlops-Fine">
        {isCopied && trans.__('Copied')}
      </span>
    </>
  );
}
