import { expect, it, vi } from 'vitest';

import { createApi } from '../src/api';
import { asked, lines, serve, settings } from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

const api = createApi({ serverSettings: settings, path: 'n.ipynb' });

it('asks each route as docs/rest.md has it', async () => {
  const name = 'a/b <c>';
  const quoted = 'a%2Fb%20%3Cc%3E';
  const first = { limit: 25, page_token: null };
  const calls: [Promise<unknown>, string, unknown?][] = [];
  serve({});
  const add = (call: Promise<unknown>, line: string, init?: unknown) =>
    calls.push([call.catch(() => undefined), line, init]);
  add(api.getProject(), 'GET project');
  add(api.listModels({ ...first, search: 'c' }), 'GET models', {
    query: { ...first, search: 'c' }
  });
  add(api.listVersions(name, first), `GET models/${quoted}/versions`);
  add(api.createVersion(name, { run_id: '1' }), `POST models/${quoted}/versions`, {
    body: { run_id: '1' }
  });
  add(api.setAlias(name, 'x', { version: 2 }), `PUT models/${quoted}/aliases/x`, {
    body: { version: 2 }
  });
  const query = { notebook: 'n', model: 'm', alias: 'x' };
  add(api.listCandidates(query), 'GET runs/candidates', { query });
  add(api.listEndpoints(), 'GET endpoints');
  add(api.getEndpoint(name), `GET endpoints/${quoted}`);
  add(api.putEndpoint(name, { model: 'm', version: 1 }), `PUT endpoints/${quoted}`, {
    body: { model: 'm', version: 1 }
  });
  add(api.deleteEndpoint(name), `DELETE endpoints/${quoted}`);
  add(api.predict(name, '{}'), `POST endpoints/${quoted}/predict`, {
    body: '{}'
  });
  await Promise.all(calls.map(([call]) => call));
  expect(lines()).toEqual(calls.map(([, line]) => line));
  for (const [n, [, , init]] of calls.entries()) {
    expect(asked[n]?.path).toBe('n.ipynb');
    expect(asked[n]?.init).toMatchObject(init ?? {});
  }
});
