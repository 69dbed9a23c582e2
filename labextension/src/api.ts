/** The REST routes, asked about the project around a path. */
import { type IRequest, type IScope, listen, request, toUrl } from './request';
import type {
  CanaryRules,
  ICandidates,
  ICandidatesQuery,
  IComparison,
  IEndpoint,
  IEndpointDetail,
  IEndpointMetrics,
  ILiveRun,
  IModelVersion,
  IPage,
  IPipelineView,
  IProject,
  IRegisteredModel,
  IRun,
  IRunChoice,
  IStepForm,
  IVersionDetail,
  Topic
} from './tokens';

export interface IPageQuery {
  limit: number;
  page_token: string | null;
}

const quote = encodeURIComponent;

/** Return one typed function for each route. */
export function createApi(scope: IScope) {
  const { path } = scope;
  const get = <T>(route: string, query?: IRequest['query']): Promise<T> =>
    request(scope, route, { query });
  const send = <T>(
    method: IRequest['method'],
    route: string,
    body?: IRequest['body']
  ): Promise<T> => request(scope, route, { method, body });
  const at = {
    model: (name: string) => `models/${quote(name)}`,
    endpoint: (name: string) => `endpoints/${quote(name)}`,
    run: (id: string) => `runs/${quote(id)}`,
    liveRun: (id: string) => `pipelines/runs/${quote(id)}`
  };
  return {
    getProject: () => get<IProject>('project'),
    listModels: (query: IPageQuery & { search: string }) =>
      get<IPage<IRegisteredModel>>('models', { ...query }),
    getModel: (name: string) => get<IRegisteredModel>(at.model(name)),
    listVersions: (model: string, query: IPageQuery) =>
      get<IPage<IModelVersion>>(`${at.model(model)}/versions`, { ...query }),
    getVersion: (model: string, version: number) =>
      get<IVersionDetail>(`${at.model(model)}/versions/${version}`),
    createVersion: (model: string, body: { run_id: string }) =>
      send<IModelVersion>('POST', `${at.model(model)}/versions`, body),
    setAlias: (model: string, alias: string, body: { version: number }) =>
      send<IModelVersion>('PUT', `${at.model(model)}/aliases/${quote(alias)}`, body),

    listEndpoints: () => get<IPage<IEndpoint>>('endpoints'),
    getEndpoint: (name: string) => get<IEndpointDetail>(at.endpoint(name)),
    putEndpoint: (
      name: string,
      body: { model: string; version: number; alias?: string }
    ) => send<IEndpointDetail>('PUT', at.endpoint(name), body),
    deleteEndpoint: (name: string) => send<undefined>('DELETE', at.endpoint(name)),
    predict: (name: string, body: string) =>
      send<unknown>('POST', `${at.endpoint(name)}/predict`, body),
    getMetrics: (name: string) => get<IEndpointMetrics>(`${at.endpoint(name)}/metrics`),
    getLog: (name: string) => get<{ lines: string[] }>(`${at.endpoint(name)}/log`),
    putCanary: (
      name: string,
      body: { version: number; share: number; rules?: CanaryRules }
    ) => send<IEndpointDetail>('PUT', `${at.endpoint(name)}/canary`, body),
    promote: (name: string) =>
      send<IEndpointDetail>('POST', `${at.endpoint(name)}/promote`),
    abort: (name: string) =>
      send<IEndpointDetail>('POST', `${at.endpoint(name)}/abort`),
    rollBack: (name: string) =>
      send<IEndpointDetail>('POST', `${at.endpoint(name)}/rollback`),

    listCandidates: (query: ICandidatesQuery) =>
      get<ICandidates>('runs/candidates', { ...query }),
    compareRuns: (a: string, b: string) => get<IComparison>('runs/compare', { a, b }),
    getRun: (id: string) => get<IRun>(at.run(id)),
    toImageUrl: (id: string, file: string) =>
      toUrl(scope, `${at.run(id)}/artifacts`, { file }),
    getRunNotebook: (id: string) => get<unknown>(`${at.run(id)}/notebook`),

    getPipeline: () => get<IPipelineView>('pipelines'),
    startPipeline: (choice: IRunChoice) =>
      send<ILiveRun>('POST', 'pipelines/runs', { path, ...choice }),
    getStepForm: () => get<IStepForm>('steps'),
    startStep: (texts: Record<string, string>) =>
      send<ILiveRun>('POST', 'steps/runs', { path, texts }),
    getLiveRun: (id: string) => get<ILiveRun>(at.liveRun(id)),
    stopLiveRun: (id: string) => send<ILiveRun>('DELETE', at.liveRun(id)),
    /** The executed notebook of a step, as far as it has come. */
    getStepNotebook: (id: string, step: string) =>
      get<unknown>(`${at.liveRun(id)}/notebook`, { step }),

    listen: (onChanged: (topics: Topic[]) => void, onReopened: () => void) =>
      listen(scope, 'events', onChanged, onReopened)
  };
}

export type Api = ReturnType<typeof createApi>;
