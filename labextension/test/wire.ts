/** A server of the REST routes, played by a function; the only thing mocked. */
import { ServerConnection } from '@jupyterlab/services';
import { vi } from 'vitest';

import type { IRequest } from '../src/request';
import * as wire from '../src/request';
import type {
  ICandidates,
  IEndpointDetail,
  IEndpointMetrics,
  ILiveRun,
  ILiveStep,
  IModelVersion,
  IPage,
  IPipelineView,
  IProject,
  IRegisteredModel,
  IRun,
  IStepForm,
  IVersionMetrics,
  Topic
} from '../src/tokens';

export const request = vi.mocked(wire.request);
export const listen = vi.mocked(wire.listen);

export const settings = ServerConnection.makeSettings({
  baseUrl: 'http://lab.test/base/'
});

/** What was asked, as "METHOD route". */
export const asked: { line: string; path: string; init: IRequest }[] = [];
export const lines = () => asked.map(({ line }) => line);

type Answer = object | ((init: IRequest) => unknown) | undefined;

/** Answer each route as given; a function may throw, what is missing is a 404. */
export function serve(answers: Record<string, Answer>): void {
  asked.length = 0;
  request.mockReset();
  request.mockImplementation((scope, route, init = {}) => {
    const line = `${init.method ?? 'GET'} ${route}`;
    asked.push({ line, path: scope.path, init });
    if (!(line in answers)) {
      return Promise.reject(failure(404, '', `No ${line}`, ''));
    }
    const answer = answers[line];
    return Promise.resolve().then(() =>
      typeof answer === 'function'
        ? (answer as (init: IRequest) => unknown)(init)
        : answer
    );
  });
}

/** Play the event stream: returns what the server may send, and whether it is open. */
export function stream() {
  const sent = {
    changed: (() => undefined) as (...topics: Topic[]) => void,
    reopened: (() => undefined) as () => void,
    n_opened: 0,
    isOpen: false
  };
  listen.mockReset();
  listen.mockImplementation((_scope, _route, onChanged, onReopened) => {
    sent.changed = (...topics) => onChanged(topics);
    sent.reopened = onReopened;
    sent.n_opened += 1;
    sent.isOpen = true;
    return {
      isDisposed: false,
      dispose: () => {
        sent.isOpen = false;
      }
    };
  });
  return sent;
}

export function failure(status: number, kind: string, problem: string, fix: string) {
  return new wire.RequestError(new Response('', { status }), kind, problem, fix);
}

export function page<T>(items: T[], next_page_token: string | null = null): IPage<T> {
  return { items, next_page_token };
}

const AT = '2026-11-20T10:00:00Z';

export const project = (name: string): IProject => ({
  name,
  path: `/home/${name}`,
  tracking_uri: 'sqlite:///mlflow.db',
  experiment: 'main',
  hint: ''
});

export const model = (name: string): IRegisteredModel => ({
  name,
  aliases: { champion: 2 },
  latest_version: 3,
  description: '',
  updated_at: AT,
  tags: {}
});

export const version = (n: number, aliases: string[] = []): IModelVersion => ({
  model: 'credit',
  version: n,
  aliases,
  created_at: AT,
  run_id: 'a'.repeat(32),
  metrics: { roc_auc: 0.831234, f1: 0.7, log_loss: 'NaN', zeta: 3 },
  params: { C: '1.0' },
  source: 'notebooks/quickstart.ipynb',
  description: '',
  order_note: null,
  model_id: null,
  signature: null,
  metric_modes: { roc_auc: 'max', f1: 'max', log_loss: 'min', zeta: null },
  user: 'ada',
  datasets: [{ name: 'train', digest: '1f2e3d4c5b6a' }],
  verdict: null
});

export const run: IRun = {
  run_id: 'a'.repeat(32),
  name: 'boosting',
  experiment: 'main',
  status: 'FINISHED',
  started_at: AT,
  ended_at: AT,
  tags: {},
  parent_run_id: null,
  metrics: { roc_auc: 0.83 },
  params: { C: '1.0' },
  source: 'notebooks/quickstart.ipynb',
  model_id: 'm-1',
  order_note: null,
  url: null,
  user: 'ada',
  datasets: [],
  autologged: { changed: {}, default: [], metrics: [], unknown: [] }
};

export const candidates = (extra: Partial<ICandidates> = {}): ICandidates => ({
  runs: [run],
  best: null,
  newest: run.run_id,
  metric: null,
  modes: {},
  replaced: null,
  endpoint: null,
  ...extra
});

export const endpoint = (extra: Partial<IEndpointDetail> = {}): IEndpointDetail => ({
  name: 'credit',
  model: 'credit',
  version: 3,
  alias: 'champion',
  url: 'http://127.0.0.1:43210/endpoints/credit',
  port: 43210,
  pid: 4321,
  state: 'ready',
  started_at: AT,
  message: '',
  canary_version: null,
  canary_share: null,
  canary_rules: { error_share: 0.05, min_requests: 100 },
  shadow_version: null,
  previous_version: null,
  example: { columns: ['Age', 'Job'], data: [[30, 'fixed']] },
  columns: [
    { name: 'Age', type: 'long', is_required: true },
    { name: 'Job', type: 'string', is_required: true }
  ],
  token_path: '/home/ada/study/.nbmlops/endpoints/credit/token',
  ...extra
});

export const versionMetrics = (
  extra: Partial<IVersionMetrics> = {}
): IVersionMetrics => ({
  version: 3,
  role: 'champion',
  share: 1,
  n_requests: 120,
  n_errors: 0,
  n_refused: 0,
  requests_per_s: 41.53,
  latency_ms_p50: 0.7123,
  latency_ms_p99: 2.2,
  ...extra
});

export const metrics = (...versions: IVersionMetrics[]): IEndpointMetrics => ({
  name: 'credit',
  versions
});

export const liveRun = (
  extra: Partial<ILiveRun> = {},
  ...steps: Partial<ILiveStep>[]
): ILiveRun => ({
  id: '1f'.repeat(16),
  kind: 'pipeline',
  path: 'flows/pipeline.yaml',
  status: 'FINISHED',
  run_id: 'a'.repeat(32),
  started_at: AT,
  ended_at: AT,
  is_stopping: false,
  problem: '',
  fix: '',
  steps: steps.map(step => ({
    step: 'train',
    state: 'done',
    why: 'not run before',
    run_id: null,
    duration_s: 1.5,
    expected_s: null,
    cells: null,
    has_notebook: false,
    is_selected: false,
    ...step
  })),
  ...extra
});

export const pipeline = (extra: Partial<IPipelineView> = {}): IPipelineView => ({
  name: 'churn',
  experiment: 'churn',
  steps: [
    {
      name: 'train',
      does: 'train.ipynb',
      notebook: 'train.ipynb',
      needs: [],
      n_runs: 1,
      line: 3,
      column: 0,
      row: 0
    }
  ],
  plan: [{ step: 'train', state: 'run', why: 'not run before', run_id: null }],
  run: liveRun({}, {}),
  ...extra
});

export const stepForm = (): IStepForm => {
  const field = { default_source: '', choices: [], help: '', is_required: false };
  return {
    has_cell: true,
    run: null,
    parameters: [
      { ...field, name: 'C', type: 'float', kind: 'number', default: '1.0' },
      {
        ...field,
        name: 'kind',
        type: 'Literal',
        kind: 'select',
        default: 'l2',
        choices: ['l1', 'l2']
      },
      { ...field, name: 'is_fast', type: 'bool', kind: 'checkbox', default: 'false' },
      {
        ...field,
        name: 'target',
        type: 'str',
        kind: 'text',
        default: '',
        is_required: true
      }
    ]
  };
};
