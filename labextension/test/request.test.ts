import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { listen, request, RequestError, toProblem } from '../src/request';

const trans = nullTranslator.load('nbmlops');

function scopeOf(answer: Response | Error) {
  const fetch = vi.fn<(request: Request) => Promise<Response>>(() =>
    answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  );
  const serverSettings = ServerConnection.makeSettings({
    baseUrl: 'http://lab.test/user/me/',
    fetch: fetch as typeof globalThis.fetch
  });
  return { scope: { serverSettings, path: 'a b/n.ipynb' }, fetch };
}

describe('request', () => {
  it('asks below the base URL about the project around the path', async () => {
    const { scope, fetch } = scopeOf(new Response('{"items": []}'));
    const query = { search: '', limit: 25, page_token: null, with_model: true };
    expect(await request(scope, 'models/a%20b', { query })).toEqual({ items: [] });
    const url = new URL(fetch.mock.calls[0]?.[0].url ?? '');
    expect(url.pathname).toBe('/user/me/nbmlops/api/models/a%20b');
    expect(url.searchParams.get('path')).toBe('a b/n.ipynb');
    expect(url.searchParams.get('limit')).toBe('25');
    expect(url.searchParams.get('with_model')).toBe('true');
    expect([...url.searchParams.keys()].sort()).toEqual([
      'limit',
      'path',
      'with_model'
    ]);
  });

  it('sends an object as JSON, and JSON as it is', async () => {
    for (const body of [{ version: 2 }, '{"version":2}']) {
      const { scope, fetch } = scopeOf(new Response('{}'));
      await request(scope, 'x', { method: 'PUT', body });
      const sent = fetch.mock.calls[0]?.[0];
      expect(await sent?.json()).toEqual({ version: 2 });
      expect(sent?.headers.get('content-type')).toBe('application/json');
    }
  });

  it('returns nothing for 204', async () => {
    const { scope } = scopeOf(new Response(null, { status: 204 }));
    expect(await request(scope, 'x', { method: 'DELETE' })).toBeUndefined();
  });

  it('throws the message and the fix of the server, apart', async () => {
    const answer = {
      error: 'NotFoundError',
      message: 'No model. List it.',
      fix: 'List it.'
    };
    const { scope } = scopeOf(new Response(JSON.stringify(answer), { status: 404 }));
    const error: unknown = await request(scope, 'x').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(RequestError);
    expect((error as Error).message).toBe('No model. List it.');
    expect(toProblem(error, trans)).toEqual({
      problem: 'No model.',
      fix: 'List it.',
      isMissingExtension: false
    });
  });

  it('takes a 404 that nbmlops did not write for a missing extension', async () => {
    for (const text of ['<html>404</html>', '{"message": "Not Found"}']) {
      const { scope } = scopeOf(new Response(text, { status: 404 }));
      const error: unknown = await request(scope, 'x').catch((e: unknown) => e);
      expect(toProblem(error, trans).isMissingExtension).toBe(true);
    }
  });

  it('names the status when a proxy answers with a page', async () => {
    const { scope } = scopeOf(
      new Response('<html>', { status: 502, statusText: 'Bad Gateway' })
    );
    const error: unknown = await request(scope, 'x').catch((e: unknown) => e);
    expect(toProblem(error, trans).problem).toBe('502 Bad Gateway');
    expect(toProblem(error, trans).isMissingExtension).toBe(false);
  });

  it('says so when the server does not answer at all', async () => {
    const { scope } = scopeOf(new TypeError('Failed to fetch'));
    const error: unknown = await request(scope, 'x').catch((e: unknown) => e);
    expect(toProblem(error, trans).problem).toBe('The Jupyter server did not answer.');
  });
});

class FakeSource extends EventTarget {
  static readonly CLOSED = 2;
  static all: FakeSource[] = [];
  readyState = 1;
  constructor(readonly url: string) {
    super();
    FakeSource.all.push(this);
  }
  close() {
    this.readyState = FakeSource.CLOSED;
  }
  say(type: string, data = '') {
    this.dispatchEvent(new MessageEvent(type, { data }));
  }
}

describe('listen', () => {
  beforeEach(() => {
    FakeSource.all = [];
    vi.stubGlobal('EventSource', FakeSource);
    vi.useFakeTimers();
    return () => vi.useRealTimers();
  });
  const { scope } = scopeOf(new Response());

  it('names the topics that changed', () => {
    const onChanged = vi.fn();
    listen(scope, 'events', onChanged, vi.fn());
    expect(FakeSource.all[0]?.url).toBe(
      'http://lab.test/user/me/nbmlops/api/events?path=a%20b%2Fn.ipynb'
    );
    FakeSource.all[0]?.say('changed', '{"topics": ["models"]}');
    expect(onChanged).toHaveBeenCalledExactlyOnceWith(['models']);
  });

  it('calls back on every connection but the first', () => {
    const onReopened = vi.fn();
    listen(scope, 'events', vi.fn(), onReopened);
    FakeSource.all[0]?.say('hello');
    expect(onReopened).not.toHaveBeenCalled();
    FakeSource.all[0]?.say('hello');
    expect(onReopened).toHaveBeenCalledOnce();
  });

  it('opens a refused stream again, ever more slowly, until disposed of', () => {
    const stream = listen(scope, 'events', vi.fn(), vi.fn());
    for (const [n, pause_ms] of [1000, 2000, 4000].entries()) {
      FakeSource.all[n]?.close();
      FakeSource.all[n]?.say('error');
      vi.advanceTimersByTime(pause_ms - 1);
      expect(FakeSource.all).toHaveLength(n + 1);
      vi.advanceTimersByTime(1);
      expect(FakeSource.all).toHaveLength(n + 2);
    }
    FakeSource.all[3]?.close();
    FakeSource.all[3]?.say('error');
    stream.dispose();
    vi.advanceTimersByTime(60_000);
    expect(FakeSource.all).toHaveLength(4);
  });

  it('leaves a stream that only broke to the browser', () => {
    listen(scope, 'events', vi.fn(), vi.fn());
    FakeSource.all[0]?.say('error');
    vi.advanceTimersByTime(60_000);
    expect(FakeSource.all).toHaveLength(1);
  });
});
