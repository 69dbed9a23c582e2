/** What crosses between the layers: the nouns of the wire and the registry. */
import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

/** A number, or the name of one JSON cannot write. */
export type Metric = number | 'NaN' | 'Infinity' | '-Infinity';

export type EndpointState = 'starting' | 'ready' | 'unresponsive' | 'dead';

/** What an event may name as changed. */
export type Topic = 'models' | 'runs' | 'endpoints' | 'pipelines';

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
  run_id: string | null;
  metrics: Record<string, Metric>;
  params: Record<string, string>;
  source: string | null;
  description: string;
  /** What a run from the top would do otherwise; null when nothing. */
  order_note: string | null;
}

/** Which params and metrics of a run recorded themselves; the user named the others. */
export interface IAutologged {
  /** Params that are not the estimator's defaults, with their short names. */
  changed: Record<string, string>;
  /** Params that are the estimator's defaults. */
  default: string[];
}

/** One recorded execution. */
export interface IRun {
  run_id: string;
  name: string;
  experiment: string;
  status: string;
  started_at: string;
  metrics: Record<string, Metric>;
  params: Record<string, string>;
  source: string | null;
  model_id: string | null;
  /** What a run from the top would do otherwise; null when nothing. */
  order_note: string | null;
  /** MLflow's page of it, where a tracking server shows one. */
  url: string | null;
  autologged: IAutologged;
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
  /** What is wrong with each field that was sent, where that is known. */
  fields?: Record<string, string>;
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
  /** Moved to the version once its endpoint answers; empty leaves all as they are. */
  alias: string;
  run_id?: string;
  version?: number;
}

export type StepName = 'register' | 'deploy' | 'ready';

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
  /** The newest run of a notebook, or of its kernel, that logged a model. */
  findRun(notebook: string, kernel?: string): Promise<IRun | null>;
  setAlias(model: string, alias: string, version: number): Promise<void>;
  createDeployment(plan: IDeploymentPlan, notebook?: string): IDeployment;
  getEndpoint(name: string): Promise<IEndpointDetail>;
  predict(endpoint: string, payload: string): Promise<unknown>;
  stop(endpoint: string): Promise<void>;
  readonly explain: (error: unknown) => IProblem;
}

export type LiveState =
  'waiting' | 'cached' | 'running' | 'done' | 'failed' | 'stopped' | 'not run';

/** How far a notebook has come. */
export interface ICellProgress {
  n_done: number;
  n_cells: number;
  /** First line of the cell that runs; empty when none does. */
  cell: string;
  /** Seconds all of it took the last time, where that is known. */
  expected_s: number | null;
}

/** A step, or one run of its grid, as far as it has come. */
export interface ILiveStep {
  step: string;
  state: LiveState;
  why: string;
  run_id: string | null;
  duration_s: number;
  expected_s: number | null;
  cells: ICellProgress | null;
  has_notebook: boolean;
  /** Whether it is the one of a grid that the steps behind see. */
  is_selected: boolean;
}

/** One execution of a pipeline, or of a notebook as a step. */
export interface ILiveRun {
  id: string;
  kind: 'pipeline' | 'step' | 'sweep';
  path: string;
  status: 'RUNNING' | 'FINISHED' | 'FAILED' | 'KILLED';
  run_id: string | null;
  started_at: string;
  ended_at: string | null;
  is_stopping: boolean;
  steps: ILiveStep[];
  problem: string;
  fix: string;
}

/** A step as it is drawn. */
export interface IPipelineStep {
  name: string;
  does: string;
  /** Relative to the file. */
  notebook: string | null;
  needs: string[];
  n_runs: number;
  line: number;
  column: number;
  row: number;
}

/** What a run of the pipeline would do with one run of a step. */
export interface IPlannedStep {
  step: string;
  state: 'cached' | 'run' | 'open';
  why: string;
  run_id: string | null;
}

/** A pipeline file, what a run of it would do, and its newest run. */
export interface IPipelineView {
  name: string;
  experiment: string;
  steps: IPipelineStep[];
  plan: IPlannedStep[];
  run: ILiveRun | null;
}

export type FieldKind = 'text' | 'integer' | 'number' | 'checkbox' | 'select' | 'value';

/** How a parameter of a notebook is asked for; its values are texts. */
export interface IParameterField {
  name: string;
  type: string;
  kind: FieldKind;
  default: string;
  default_source: string;
  choices: string[];
  help: string;
  is_required: boolean;
}

/** What a notebook can be given. */
export interface IStepForm {
  parameters: IParameterField[];
  has_cell: boolean;
  run: ILiveRun | null;
}

/** What a run is to do besides what has changed. */
export interface IRunChoice {
  /** Steps to run whatever is kept; `*` for all. */
  force?: string[];
  from_step?: string;
}

/** Something that runs on the server, followed by its events. */
export interface ILiveModel extends IDisposable {
  readonly changed: ISignal<ILiveModel, void>;
  /** The newest run; null when there is none. */
  readonly run: ILiveRun | null;
  /** Why the server refused; null when it did not. */
  readonly problem: IProblem | null;
  /** Read, and go on reading what changes, until `pause`. */
  resume(): void;
  pause(): void;
  /** Let it end with the steps that run; called again, stop them. */
  stop(): Promise<void>;
  findRun(run_id: string): Promise<IRun>;
  readonly explain: (error: unknown) => IProblem;
}

/** The pipeline in a file. */
export interface IPipelineModel extends ILiveModel {
  readonly view: IPipelineView | null;
  /** True while a run is being started. */
  readonly isStarting: boolean;
  refresh(): Promise<void>;
  start(choice: IRunChoice): Promise<void>;
}

/** A notebook that is run as a tracked step. */
export interface IStepModel extends ILiveModel {
  readonly form: IStepForm | null;
  /** True from the start on. */
  readonly isStarted: boolean;
  load(): Promise<void>;
  start(texts: Record<string, string>): Promise<void>;
  /** Settles when the run that was started has ended. */
  readonly finished: Promise<ILiveRun>;
}

export const IModelRegistry = new Token<IModelRegistry>(
  'nbmlops:IModelRegistry',
  'The registered models and endpoints of the project in view.'
);
