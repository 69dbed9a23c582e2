import { expect, it, vi } from 'vitest';

import * as api from '../src/api';
import { asked, lines, serve, settings } from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

const scope = { serverSettings: settings, path: 'n.ipynb' };

it('asks each route as docs/rest.md has it', async () => {
  const name = 'a/b <c>';
  const quoted = 'a%2Fb%20%3Cc%3E';
  const first = { limit: 25, page_token: null };
  const calls: [Promise<unknown>, string, unknown?][] = [];
  serve({});
  const add = (call: Promise<unknown>, line: string, init?: unknown) =>
    calls.push([call.catch(() => undefined), line, init]);
  add(api.getProject(scope), 'GET project');
  add(api.listModels(scope, { ...first, search: 'c' }), 'GET models', {
    query: { ...first, search: 'c' }
  });
  add(api.listVersions(scope, name, first), `GET models/${quoted}/versions`);
  add(
    api.createVersion(scope, name, { run_id: '1' }),
    `POST models/${quoted}/versions`,
    {
      body: { run_id: '1' }
    }
  );
  add(
    api.setAlias(scope, name, 'x', { version: 2 }),
    `PUT models/${quoted}/aliases/x`,
    { body: { version: 2 } }
  );
  add(api.listRuns(scope, { notebook: 'n', with_model: true, limit: 1 }), 'GET runs', {
    query: { notebook: 'n', with_model: true, limit: 1 }
  });
  add(api.listEndpoints(scope), 'GET endpoints');
  add(api.getEndpoint(scope, name), `GET endpoints/${quoted}`);
  add(
    api.putEndpoint(scope, name, { model: 'm', version: 1 }),
    `PUT endpoints/${quoted}`,
    {
      body: { model: 'm', version: 1 }
    }
  );
  add(api.deleteEndpoint(scope, name), `DELETE endpoints/${quoted}`);
  add(api.predict(scope, name, '{}'), `POST endpoints/${quoted}/predict`, {
    body: '{}'
  });
  await Promise.all(calls.map(([call]) => call));
  expect(lines()).toEqual(calls.map(([, line]) => line));
  for (const [n, [, , init]] of calls.entries()) {
    expect(asked[n]?.path).toBe('n.ipynb');
    expect(asked[n]?.init).toMatchObject(init ?? {});
  }
});
