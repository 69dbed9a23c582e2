/** One function for each REST route. */
import type { IDisposable } from '@lumino/disposable';

import { type IScope, listen, request } from './request';
import type {
  IEndpoint,
  IEndpointDetail,
  ILiveRun,
  IModelVersion,
  IPage,
  IPipelineView,
  IProject,
  IRegisteredModel,
  IRun,
  IRunChoice,
  IStepForm,
  Topic
} from './tokens';

export interface IPageQuery {
  limit: number;
  page_token: string | null;
}

const at = encodeURIComponent;

export function getProject(scope: IScope): Promise<IProject> {
  return request(scope, 'project');
}

export function listModels(
  scope: IScope,
  query: IPageQuery & { search: string }
): Promise<IPage<IRegisteredModel>> {
  return request(scope, 'models', { query: { ...query } });
}

export function listVersions(
  scope: IScope,
  model: string,
  query: IPageQuery
): Promise<IPage<IModelVersion>> {
  return request(scope, `models/${at(model)}/versions`, { query: { ...query } });
}

export function createVersion(
  scope: IScope,
  model: string,
  body: { run_id: string }
): Promise<IModelVersion> {
  return request(scope, `models/${at(model)}/versions`, { method: 'POST', body });
}

export function setAlias(
  scope: IScope,
  model: string,
  alias: string,
  body: { version: number }
): Promise<IModelVersion> {
  const route = `models/${at(model)}/aliases/${at(alias)}`;
  return request(scope, route, { method: 'PUT', body });
}

export function listRuns(
  scope: IScope,
  query: { notebook: string; kernel?: string; with_model: boolean; limit: number }
): Promise<IPage<IRun>> {
  return request(scope, 'runs', { query });
}

export function listEndpoints(scope: IScope): Promise<IPage<IEndpoint>> {
  return request(scope, 'endpoints');
}

export function getEndpoint(scope: IScope, name: string): Promise<IEndpointDetail> {
  return request(scope, `endpoints/${at(name)}`);
}

export function putEndpoint(
  scope: IScope,
  name: string,
  body: { model: string; version: number; alias?: string }
): Promise<IEndpointDetail> {
  return request(scope, `endpoints/${at(name)}`, { method: 'PUT', body });
}

export function deleteEndpoint(scope: IScope, name: string): Promise<void> {
  return request(scope, `endpoints/${at(name)}`, { method: 'DELETE' });
}

export function predict(
  scope: IScope,
  endpoint: string,
  body: string
): Promise<unknown> {
  const route = `endpoints/${at(endpoint)}/predict`;
  return request(scope, route, { method: 'POST', body });
}

export function getRun(scope: IScope, run_id: string): Promise<IRun> {
  return request(scope, `runs/${at(run_id)}`);
}

export function getPipeline(scope: IScope): Promise<IPipelineView> {
  return request(scope, 'pipelines');
}

export function startPipeline(scope: IScope, choice: IRunChoice): Promise<ILiveRun> {
  const body = { path: scope.path, ...choice };
  return request(scope, 'pipelines/runs', { method: 'POST', body });
}

export function getLiveRun(scope: IScope, id: string): Promise<ILiveRun> {
  return request(scope, `pipelines/runs/${at(id)}`);
}

export function stopLiveRun(scope: IScope, id: string): Promise<ILiveRun> {
  return request(scope, `pipelines/runs/${at(id)}`, { method: 'DELETE' });
}

/** The executed notebook of a step of a run, as far as it has come. */
export function getStepNotebook(
  scope: IScope,
  id: string,
  step: string
): Promise<unknown> {
  return request(scope, `pipelines/runs/${at(id)}/notebook`, { query: { step } });
}

/** The executed notebook of a run. */
export function getRunNotebook(scope: IScope, run_id: string): Promise<unknown> {
  return request(scope, `runs/${at(run_id)}/notebook`);
}

export function getStepForm(scope: IScope): Promise<IStepForm> {
  return request(scope, 'steps');
}

export function startStep(
  scope: IScope,
  texts: Record<string, string>
): Promise<ILiveRun> {
  const body = { path: scope.path, texts };
  return request(scope, 'steps/runs', { method: 'POST', body });
}

export function listenToEvents(
  scope: IScope,
  onChanged: (topics: Topic[]) => void,
  onReopened: () => void
): IDisposable {
  return listen(scope, 'events', onChanged, onReopened);
}
