/** What crosses between the layers: the nouns of the wire and the registry. */
import type { VDomRenderer } from '@jupyterlab/ui-components';
import { Token } from '@lumino/coreutils';

import type { components } from './wire';

type Schemas = components['schemas'];
export type IAutologged = Schemas['Autologged'];
export type ICandidates = Schemas['Candidates'];
export type ICellProgress = Schemas['CellProgress'];
export type ICodeDifference = Schemas['CodeDifference'];
export type IComparedMetric = Schemas['ComparedMetric'];
export type IComparison = Schemas['Comparison'];
export type IEndpoint = Schemas['Endpoint'];
export type IEndpointDetail = Schemas['EndpointDetail'];
export type IEndpointMetrics = Schemas['EndpointMetrics'];
export type IError = Schemas['Error'];
export type ILiveRun = Schemas['LiveRun'];
export type ILineageNode = Schemas['LineageNode'];
export type ILiveStep = Schemas['LiveStep'];
export type IModelVersion = Schemas['ModelVersion'];
export type IParameterField = Schemas['ParameterField'];
export type IPipelineStep = Schemas['PipelineStep'];
export type IPipelineView = Schemas['PipelineView'];
export type IProject = Schemas['Project'];
export type IRegisteredModel = Schemas['RegisteredModel'];
export type IRun = Schemas['Run'];
export type ISignatureColumn = Schemas['SignatureColumn'];
export type IStepForm = Schemas['StepForm'];
export type IStoredFile = Schemas['StoredFile'];
export type IVersionDetail = Schemas['VersionDetail'];
export type IVersionMetrics = Schemas['VersionMetrics'];
export type Metric = Schemas['Metric'];

/** What an event may name as changed. */
export type Topic = 'models' | 'runs' | 'endpoints' | 'pipelines';

export interface IPage<T> {
  items: T[];
  next_page_token: string | null;
}

/** Why something failed, and what to do about it. */
export interface IProblem {
  problem: string;
  fix: string;
  /** What is wrong with each field, where that is known. */
  fields?: Record<string, string>;
  /** True when Jupyter's server does not know nbmlops at all. */
  isMissingExtension?: boolean;
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

/** A notebook, its kernel, and the model and alias that a run would get. */
export interface ICandidatesQuery {
  notebook: string;
  kernel?: string;
  model: string;
  alias: string;
}

/** What to deploy: a run to register first, or a registered version. */
export interface IDeploymentPlan {
  model: string;
  /** Moved to the version once its endpoint answers; empty leaves all as they are. */
  alias: string;
  run_id?: string;
  version?: number;
  /** The share of an endpoint's requests that it answers as its canary, 0 to 1. */
  canary?: { endpoint: string; share: number };
}

export type StepName = 'register' | 'deploy' | 'ready';

export interface IStep {
  readonly name: StepName;
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  /** What came of it; empty until it is done. */
  readonly detail: string;
}

/** One way from a run or a version to an answering endpoint. */
export interface IDeployment extends VDomRenderer.IModel {
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
export interface IModelRegistry extends VDomRenderer.IModel {
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
  /** Switch to the project around a notebook. */
  follow(path: string): Promise<void>;
  /** Read, and go on reading what changes, until `pause`. */
  resume(): void;
  pause(): void;
  refresh(): Promise<void>;
  /** The runs of a notebook that logged a model, and what one would replace. */
  findCandidates(query: ICandidatesQuery): Promise<ICandidates>;
  /** Move an alias; in the project around a path, by default the one in view. */
  setAlias(model: string, alias: string, version: number, path?: string): Promise<void>;
  createDeployment(plan: IDeploymentPlan, notebook?: string): IDeployment;
  getEndpoint(name: string): Promise<IEndpointDetail>;
  predict(endpoint: string, payload: string): Promise<unknown>;
  stop(endpoint: string): Promise<void>;
  /** An endpoint to follow; of the project around a path, by default the one in view. */
  createEndpoint(name: string, path?: string): IEndpointModel;
  /** A registered model to follow, likewise. */
  createVersions(model: string, path?: string): IVersionsModel;
  /** A version to follow, likewise. */
  createVersion(model: string, version: number, path?: string): IVersionModel;
  readonly explain: (error: unknown) => IProblem;
}

/** How the table of a model's versions is shown. */
export interface ITableLayout {
  /** Columns that were switched on or off, by their ids. */
  columns: Readonly<Record<string, boolean>>;
  sort: { id: string; isDescending: boolean };
}

/** A registered model and all its versions, read while they show. */
export interface IVersionsModel extends VDomRenderer.IModel {
  readonly name: string;
  /** A folder or notebook of its project. */
  readonly path: string;
  readonly model: IRegisteredModel | null;
  readonly versions: IListing<IModelVersion>;
  readonly endpoints: readonly IEndpoint[];
  /** The versions that are held against each other; none, one or two. */
  readonly selected: readonly number[];
  /** What differs between the two, once that is asked for and read. */
  readonly comparison: IComparison | null;
  /** Why the model, or what differs, cannot be read. */
  readonly problem: IProblem | null;
  select(version: number, isSelected: boolean): void;
  compare(): Promise<void>;
  /** Put the comparison away. */
  endComparison(): void;
  resume(): void;
  pause(): void;
  refresh(): Promise<void>;
}

/** A model version, read again when something changes between `resume` and `pause`. */
export interface IVersionModel extends VDomRenderer.IModel {
  /** The registered model's. */
  readonly name: string;
  readonly version: number;
  /** A folder or notebook of its project. */
  readonly path: string;
  /** Null until it is read, and when it is gone. */
  readonly detail: IVersionDetail | null;
  readonly isGone: boolean;
  /** Why it cannot be read. */
  readonly problem: IProblem | null;
  /** How its code differs from the champion's; null until that is asked for. */
  readonly code: ICodeDifference | null;
  readonly isComparing: boolean;
  readonly codeProblem: IProblem | null;
  resume(): void;
  pause(): void;
  refresh(): Promise<void>;
  compareCode(): Promise<void>;
  /** Where an image of its run is. */
  toImageUrl(file: string): string;
}

/** What ends a canary by itself, by the name of the rule. */
export type CanaryRules = Readonly<Record<string, number>>;

export type EndpointAction = 'canary' | 'promote' | 'abort' | 'rollback' | 'stop';

/** One endpoint, read about once a second between `resume` and `pause`. */
export interface IEndpointModel extends VDomRenderer.IModel {
  readonly name: string;
  /** A folder or notebook of its project. */
  readonly path: string;
  /** Null until it is read, and when it is gone. */
  readonly endpoint: IEndpointDetail | null;
  /** How many readings are kept: those of about a minute. */
  readonly nReadings: number;
  /** What was read of late, oldest first; without versions where nothing was. */
  readonly history: readonly IEndpointMetrics[];
  /** The end of its log, while that is shown. */
  readonly log: readonly string[] | null;
  /** The versions of its model, newest first. */
  readonly versions: readonly IModelVersion[];
  /** What is being done; null when nothing is. */
  readonly action: EndpointAction | null;
  /** What was done last, in one line. */
  readonly message: string;
  /** Why that failed. */
  readonly problem: IProblem | null;
  /** Why it cannot be read. */
  readonly readProblem: IProblem | null;
  resume(): void;
  pause(): void;
  refresh(): Promise<void>;
  showLog(isShown: boolean): Promise<void>;
  setCanary(version: number, share: number, rules: CanaryRules): Promise<void>;
  promote(): Promise<void>;
  abort(): Promise<void>;
  rollBack(): Promise<void>;
  stop(): Promise<void>;
  predict(payload: string): Promise<unknown>;
  readonly explain: (error: unknown) => IProblem;
}

/** What a run is to do besides what has changed. */
export interface IRunChoice {
  /** Steps to run, cached or not; `*` for all. */
  force?: string[];
  from_step?: string;
}

/** Something that runs on the server, followed by its events. */
export interface ILiveModel extends VDomRenderer.IModel {
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
