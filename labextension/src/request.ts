/** The only place that speaks to the server. */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

import type { IError, IProblem, Topic } from './tokens';

const LONGEST_PAUSE_MS = 30_000;

/** Which server is asked, and about the project around which path. */
export interface IScope {
  readonly serverSettings: ServerConnection.ISettings;
  readonly path: string;
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export interface IRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  query?: Query;
  /** An object to be sent as JSON, or JSON already written. */
  body?: object | string;
}

/** An answer that is an error, in the server's words. */
export class RequestError extends ServerConnection.ResponseError {
  constructor(
    response: Response,
    /** Name of the error's class; empty when nbmlops did not write the answer. */
    readonly kind: string,
    readonly problem: string,
    readonly fix: string,
    /** What is wrong with each field that was sent, where that is known. */
    readonly fields?: Record<string, string>
  ) {
    super(response, `${problem} ${fix}`.trim());
  }
}

/** Return what a route below `nbmlops/api/` answers. */
export async function request<T>(
  scope: IScope,
  route: string,
  { method = 'GET', query = {}, body }: IRequest = {}
): Promise<T> {
  // Not `no-store`: that adds a nameless parameter to the query.
  const init: RequestInit = { method, cache: 'no-cache' };
  if (body !== undefined) {
    init.body = typeof body === 'string' ? body : JSON.stringify(body);
    init.headers = { 'Content-Type': 'application/json' };
  }
  const response = await ServerConnection.makeRequest(
    toUrl(scope, route, query),
    init,
    scope.serverSettings
  );
  const text = await response.text();
  if (!response.ok) {
    throw toRequestError(response, text);
  }
  return (text ? JSON.parse(text) : undefined) as T;
}

/**
 * Call back on every event of the stream, until disposed of.
 *
 * The browser reconnects a stream that breaks; one that was refused is opened
 * again here, ever more slowly. `onReopened` is called on each connection but the
 * first: events between two connections are lost.
 */
export function listen(
  scope: IScope,
  route: string,
  onChanged: (topics: Topic[]) => void,
  onReopened: () => void
): IDisposable {
  let source: EventSource;
  let timer = 0;
  let pause_ms = 1000;
  let isFirst = true;
  const open = () => {
    source = new EventSource(toUrl(scope, route, {}));
    source.addEventListener('hello', () => {
      pause_ms = 1000;
      if (!isFirst) {
        onReopened();
      }
      isFirst = false;
    });
    source.addEventListener('changed', ({ data }: MessageEvent<string>) => {
      onChanged((JSON.parse(data) as { topics: Topic[] }).topics);
    });
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) {
        timer = window.setTimeout(open, pause_ms);
        pause_ms = Math.min(2 * pause_ms, LONGEST_PAUSE_MS);
      }
    });
  };
  open();
  return new DisposableDelegate(() => {
    window.clearTimeout(timer);
    source.close();
  });
}

/** Return what to tell the user about an error. */
export function toProblem(error: unknown, trans: TranslationBundle): IProblem {
  if (error instanceof RequestError) {
    const { kind, problem, fix, fields, response } = error;
    const isMissingExtension = response.status === 404 && !kind;
    return { problem, fix, fields, isMissingExtension };
  }
  if (error instanceof ServerConnection.NetworkError) {
    return {
      problem: trans.__('The Jupyter server did not answer.'),
      fix: trans.__('Check that it is running and reachable, then try again.')
    };
  }
  const problem = error instanceof Error ? error.message : String(error);
  return { problem, fix: '' };
}

/** Return the address of a route. */
export function toUrl(scope: IScope, route: string, query: Query): string {
  const given = Object.entries<Query[string]>({ ...query, path: scope.path })
    .filter(([, value]) => (value ?? '') !== '')
    .map(([name, value]): [string, string] => [name, String(value)]);
  return (
    URLExt.join(scope.serverSettings.baseUrl, 'nbmlops/api', route) +
    URLExt.objectToQueryString(Object.fromEntries(given))
  );
}

function toRequestError(response: Response, text: string): RequestError {
  let answer: Partial<IError> = {};
  try {
    answer = JSON.parse(text) as typeof answer;
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  const { error = '', message, fix = '', fields } = answer;
  const problem = message ?? `${response.status} ${response.statusText}`;
  return new RequestError(
    response,
    error,
    fix && problem.endsWith(fix) ? problem.slice(0, -fix.length).trim() : problem,
    fix,
    fields
  );
}
