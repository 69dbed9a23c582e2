/** What crosses between the layers: the nouns of the wire and the registry. */
import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

/** A number, or the name of one JSON cannot write. */
export type Metric = number | 'NaN' | 'Infinity' | '-Infinity';

export type EndpointState = 'starting' | 'ready' | 'unresponsive' | 'dead';

/** What an event may name as changed. */
export type Topic = 'models' | 'runs' | 'endpoints';

/** The project around a notebook. */
export interface IProject {
  name: string;
  path: string;
  tracking_uri: string;
  experiment: string;
  /** Advice about the project's store; empty when there is none. */
  hint: string | null;
}

/** A name that model versions are registered under. */
export interface IRegisteredModel {
  name: string;
  aliases: Record<string, number>;
  latest_version: number | null;
  description: string;
  updated_at: string;
}

/** One immutable version of a registered model. */
export interface IModelVersion {
  model: string;
  version: number;
  aliases: string[];
  created_at: string;
  run_id: string;
  metrics: Record<string, Metric>;
  params: Record<string, string>;
  source: string | null;
  description: string;
  /** What a run from the top would do otherwise; null when nothing. */
  order_note: string | null;
}

/** One recorded execution. */
export interface IRun {
  run_id: string;
  name: string;
  experiment: string;
  status: string;
  started_at: string;
  metrics: Record<string, Metric>;
  source: string | null;
  model_id: string | null;
  /** What a run from the top would do otherwise; null when nothing. */
  order_note: string | null;
}

/** Where a model version answers. */
export interface IEndpoint {
  name: string;
  model: string;
  version: number;
  alias: string | null;
  url: string;
  state: EndpointState;
  started_at: string;
  /** Why it is not ready, with the fix; empty when it is. */
  message: string;
}

/** Rows a model was fitted on, as pandas splits a frame. */
export interface IExample {
  columns: string[];
  data: unknown[][];
}

export interface IEndpointDetail extends IEndpoint {
  example: IExample | null;
}

export interface IPage<T> {
  items: T[];
  next_page_token: string | null;
}

/** Why something failed, and what to do about it. */
export interface IProblem {
  problem: string;
  fix: string;
  /** True when Jupyter's server does not know nbmlops at all. */
  isMissingExtension: boolean;
}

/** A list that is shown page by page. */
export interface IListing<T> {
  readonly items: readonly T[];
  readonly hasMore: boolean;
  readonly isLoading: boolean;
  /** True once a first answer has come. */
  readonly isLoaded: boolean;
  readonly problem: IProblem | null;
  reload(): Promise<void>;
  loadMore(): Promise<void>;
}

/** What to deploy: a run still to be registered, or a version that stands. */
export interface IDeploymentPlan {
  model: string;
  /** Moved to the version and deployed by; empty deploys the version itself. */
  alias: string;
  run_id?: string;
  version?: number;
}

export type StepName = 'register' | 'alias' | 'deploy' | 'ready';

export interface IStep {
  readonly name: StepName;
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  /** What came of it; empty until it is done. */
  readonly detail: string;
}

/** One way from a run or a version to an answering endpoint. */
export interface IDeployment extends IDisposable {
  readonly changed: ISignal<IDeployment, void>;
  readonly state: 'running' | 'done' | 'failed';
  readonly steps: readonly IStep[];
  readonly problem: IProblem | null;
  readonly endpoint: IEndpointDetail | null;
  /** Do what is not done yet; settles, and never rejects, at the end. */
  run(): Promise<void>;
  /** Send the endpoint rows to predict. */
  predict(payload: string): Promise<unknown>;
}

/** The registered models and endpoints of the project in view. */
export interface IModelRegistry extends IDisposable {
  readonly changed: ISignal<IModelRegistry, void>;
  readonly project: IProject | null;
  /** Why the project could not be read; null when it was. */
  readonly problem: IProblem | null;
  readonly models: IListing<IRegisteredModel>;
  readonly endpoints: IListing<IEndpoint>;
  /** Text that a model's name must contain. */
  search: string;
  /** The versions of an expanded model, null for a collapsed one. */
  versions(model: string): IListing<IModelVersion> | null;
  toggle(model: string): void;
  /** Turn to the project around a notebook. */
  follow(path: string): Promise<void>;
  /** Read, and go on reading what changes, until `pause`. */
  resume(): void;
  pause(): void;
  refresh(): Promise<void>;
  /** The newest run of a notebook that logged a model, null when there is none. */
  findRun(notebook: string): Promise<IRun | null>;
  setAlias(model: string, alias: string, version: number): Promise<void>;
  createDeployment(plan: IDeploymentPlan, notebook?: string): IDeployment;
  getEndpoint(name: string): Promise<IEndpointDetail>;
  predict(endpoint: string, payload: string): Promise<unknown>;
  stop(endpoint: string): Promise<void>;
  readonly explain: (error: unknown) => IProblem;
}

export const IModelRegistry = new Token<IModelRegistry>(
  'nbmlops:IModelRegistry',
  'The registered models and endpoints of the project in view.'
);
