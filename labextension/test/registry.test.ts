import { nullTranslator } from '@jupyterlab/translation';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { ModelRegistry } from '../src/registry';
import type { IRequest } from '../src/request';
import {
  asked,
  candidates,
  endpoint,
  failure,
  lines,
  model,
  page,
  project,
  serve,
  settings,
  stream,
  version
} from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

const trans = nullTranslator.load('nbmlops');
const all = Array.from({ length: 240 }, (_, n) => model(`model-${n}`));

/** A route that answers `items` page by page. */
const paged =
  <T>(items: readonly T[]) =>
  ({ query }: IRequest) => {
    const from = Number(query?.page_token ?? 0);
    const to = from + Number(query?.limit);
    return page(items.slice(from, to), to < items.length ? String(to) : null);
  };

const answers = {
  'GET project': project('here'),
  'GET models': paged(all),
  'GET models/credit/versions': page([version(3), version(2)]),
  'GET endpoints': page([endpoint()])
};

/** Resolves when the models are no longer loading. */
const loaded = () => vi.waitFor(() => expect(registry.models.isLoading).toBe(false));

let registry: ModelRegistry;
let events: ReturnType<typeof stream>;

beforeEach(() => {
  serve(answers);
  events = stream();
  registry = new ModelRegistry({ serverSettings: settings, trans });
  return () => registry.dispose();
});

async function resume() {
  registry.resume();
  await vi.waitFor(() => expect(registry.models.isLoaded).toBe(true));
  await vi.waitFor(() => expect(registry.endpoints.isLoaded).toBe(true));
}

describe('ModelRegistry', () => {
  it('asks nothing before it is shown', async () => {
    await registry.follow('a/n.ipynb');
    expect(asked).toEqual([]);
    expect(events.n_opened).toBe(0);
  });

  it('reads the project, a page of models and the endpoints', async () => {
    await resume();
    expect(registry.project?.name).toBe('here');
    expect(registry.models.items).toHaveLength(100);
    expect(registry.models.hasMore).toBe(true);
    expect(registry.endpoints.items.map(({ name }) => name)).toEqual(['credit']);
    expect(events.isOpen).toBe(true);
  });

  it('reads the next page only, and stops at the last', async () => {
    await resume();
    serve(answers);
    await registry.models.loadMore();
    await registry.models.loadMore();
    expect(asked.map(({ init }) => init.query?.page_token)).toEqual(['100', '200']);
    expect(registry.models.items).toEqual(all);
    expect(registry.models.hasMore).toBe(false);
  });

  it('reloads as many models as are shown, in one request', async () => {
    await resume();
    await registry.models.loadMore();
    serve(answers);
    events.changed('models');
    await loaded();
    expect(asked.map(({ init }) => init.query?.limit)).toEqual([200]);
    expect(registry.models.items).toHaveLength(200);
  });

  it('reloads only what an event names', async () => {
    await resume();
    registry.toggle('credit');
    await vi.waitFor(() => expect(registry.versions('credit')?.isLoaded).toBe(true));
    serve(answers);
    events.changed('endpoints');
    expect(lines()).toEqual(['GET endpoints']);
    events.changed('runs');
    expect(lines()).toEqual(['GET endpoints']);
    events.changed('models');
    expect(lines().slice(1)).toEqual(['GET models', 'GET models/credit/versions']);
    await loaded();
  });

  it('reads everything again when the stream had been broken', async () => {
    await resume();
    serve(answers);
    events.reopened();
    await vi.waitFor(() =>
      expect(lines()).toEqual(['GET project', 'GET models', 'GET endpoints'])
    );
    await loaded();
    expect(events.n_opened).toBe(1);
  });

  it('does not reload for another notebook of the same project', async () => {
    await resume();
    serve(answers);
    await registry.follow('a/other.ipynb');
    expect(asked.map(({ line, path }) => [line, path])).toEqual([
      ['GET project', 'a/other.ipynb']
    ]);
  });

  it('switches to another project, and listens to its events', async () => {
    await resume();
    registry.toggle('credit');
    registry.search = 'x';
    serve({ ...answers, 'GET project': project('there'), 'GET models': page([]) });
    await registry.follow('there/n.ipynb');
    expect(registry.project?.name).toBe('there');
    expect(registry.models.items).toEqual([]);
    expect(registry.versions('credit')).toBeNull();
    expect(registry.search).toBe('');
    expect(lines()).toEqual(['GET project', 'GET models', 'GET endpoints']);
    expect(new Set(asked.map(({ path }) => path))).toEqual(new Set(['there/n.ipynb']));
    expect(events.n_opened).toBe(2);
  });

  it('shows the answer to the last search, not the last answer', async () => {
    await resume();
    let release: (value: unknown) => void = () => undefined;
    serve({
      ...answers,
      'GET models': ({ query }: IRequest) =>
        query?.search === 'slow'
          ? new Promise(resolve => (release = resolve))
          : page([model('quick')])
    });
    registry.search = 'slow';
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    registry.search = 'quick';
    await loaded();
    release(page([model('slow')]));
    await new Promise(resolve => setTimeout(resolve));
    expect(registry.models.items.map(({ name }) => name)).toEqual(['quick']);
  });

  it('keeps what is shown when a reload fails, and says why', async () => {
    await resume();
    serve({
      ...answers,
      'GET models': () => {
        throw failure(502, 'StoreError', 'The store is away.', 'Start it.');
      }
    });
    await registry.models.reload();
    expect(registry.models.items).toHaveLength(100);
    expect(registry.models.problem).toMatchObject({
      problem: 'The store is away.',
      fix: 'Start it.'
    });
    serve(answers);
    await registry.models.reload();
    expect(registry.models.problem).toBeNull();
  });

  it('reports a missing server extension, opens no stream, and recovers', async () => {
    serve({});
    registry.resume();
    await vi.waitFor(() => expect(registry.problem?.isMissingExtension).toBe(true));
    expect(events.n_opened).toBe(0);
    serve(answers);
    await registry.refresh();
    expect(registry.problem).toBeNull();
    expect(registry.models.items).toHaveLength(100);
  });

  it('finds the runs with a model in the project of the notebook', async () => {
    serve({ 'GET runs/candidates': candidates() });
    const query = { notebook: 'a/n.ipynb', kernel: 'k1', model: 'm', alias: 'x' };
    expect((await registry.findCandidates(query)).runs).toHaveLength(1);
    expect(asked[0]).toMatchObject({ path: 'a/n.ipynb', init: { query } });
  });

  it('reloads after what it does itself', async () => {
    await resume();
    serve({
      ...answers,
      'PUT models/credit/aliases/best': version(2),
      'DELETE endpoints/credit': undefined
    });
    await registry.setAlias('credit', 'best', 2);
    await registry.stop('credit');
    expect(lines()).toEqual([
      'PUT models/credit/aliases/best',
      'GET models',
      'DELETE endpoints/credit',
      'GET endpoints'
    ]);
  });

  it('shows at once what a deployment has changed', async () => {
    await resume();
    serve({
      ...answers,
      'POST models/credit/versions': version(3),
      'PUT endpoints/credit': endpoint()
    });
    const deployment = registry.createDeployment({
      model: 'credit',
      alias: '',
      run_id: 'a1'
    });
    await deployment.run();
    expect(lines().slice(2)).toEqual(['GET models', 'GET endpoints']);
    await loaded();
  });

  it('closes the stream when it is hidden, and when disposed of', async () => {
    await resume();
    registry.pause();
    expect(events.isOpen).toBe(false);
    await resume();
    await vi.waitFor(() => expect(events.isOpen).toBe(true));
    registry.dispose();
    expect(events.isOpen).toBe(false);
  });
});
