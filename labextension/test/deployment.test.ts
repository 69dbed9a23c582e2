import { nullTranslator } from '@jupyterlab/translation';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { ModelRegistry } from '../src/registry';
import type { IDeployment } from '../src/tokens';
import { asked, endpoint, failure, lines, serve, settings, version } from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

const trans = nullTranslator.load('nbmlops');
const registry = new ModelRegistry({ serverSettings: settings, trans });
const plan = { model: 'credit', alias: 'champion', run_id: 'a1' };

const answers = {
  'POST models/credit/versions': version(3),
  'PUT endpoints/credit': endpoint(),
  'GET endpoints/credit': endpoint()
};

const states = ({ steps }: IDeployment) =>
  steps.map(({ name, state }) => `${name} ${state}`);

const refuse = (problem: string, fix: string) => () => {
  throw failure(409, 'ConflictError', problem, fix);
};

beforeEach(() => {
  vi.useFakeTimers();
  return () => vi.useRealTimers();
});

describe('Deployment', () => {
  it('registers, deploys with the alias to move, and waits', async () => {
    serve(answers);
    const deployment = registry.createDeployment(plan, 'a/n.ipynb');
    const seen: string[] = [];
    deployment.stateChanged.connect(({ steps }) => {
      seen.push(steps.find(({ state }) => state === 'running')?.name ?? 'end');
    });
    await deployment.run();
    expect(seen).toEqual(['register', 'deploy', 'ready', 'end']);
    expect(deployment.state).toBe('done');
    expect(lines()).toEqual(Object.keys(answers).slice(0, 2));
    expect(asked.map(({ init }) => init.body)).toEqual([
      { run_id: 'a1' },
      { model: 'credit', version: 3, alias: 'champion' }
    ]);
    expect(new Set(asked.map(({ path }) => path))).toEqual(new Set(['a/n.ipynb']));
    expect(deployment.endpoint?.url).toContain('/endpoints/credit');
  });

  it('deploys a version by its number when there is no alias', async () => {
    serve(answers);
    const deployment = registry.createDeployment({
      model: 'credit',
      alias: '',
      version: 3
    });
    await deployment.run();
    expect(states(deployment)).toEqual(['deploy done', 'ready done']);
    expect(asked[0]?.init.body).toEqual({ model: 'credit', version: 3 });
  });

  it.each([
    ['POST models/credit/versions', 'register'],
    ['PUT endpoints/credit', 'deploy']
  ])('stops when %s fails, says why, and goes on from there', async (line, name) => {
    serve({ ...answers, [line]: refuse('It is taken.', 'Choose another.') });
    const deployment = registry.createDeployment(plan);
    await deployment.run();
    expect(deployment.state).toBe('failed');
    expect(deployment.problem).toMatchObject({
      problem: 'It is taken.',
      fix: 'Choose another.'
    });
    const at = deployment.steps.findIndex(({ state }) => state === 'failed');
    expect(deployment.steps[at]?.name).toBe(name);
    expect(deployment.steps.slice(0, at).every(({ state }) => state === 'done')).toBe(
      true
    );
    expect(
      deployment.steps.slice(at + 1).every(({ state }) => state === 'waiting')
    ).toBe(true);

    serve(answers);
    await deployment.run();
    expect(deployment.state).toBe('done');
    expect(deployment.problem).toBeNull();
    expect(lines()).toEqual(Object.keys(answers).slice(at, 2));
  });

  it('waits for an endpoint that is still starting', async () => {
    let n = 0;
    serve({
      ...answers,
      'PUT endpoints/credit': endpoint({ state: 'starting' }),
      'GET endpoints/credit': () => endpoint({ state: ++n < 3 ? 'starting' : 'ready' })
    });
    const deployment = registry.createDeployment(plan);
    const done = deployment.run();
    await vi.advanceTimersByTimeAsync(3000);
    await done;
    expect(deployment.state).toBe('done');
    expect(n).toBe(3);
  });

  it('gives up on an endpoint that dies, and deploys it again on request', async () => {
    serve({
      ...answers,
      'PUT endpoints/credit': endpoint({
        state: 'dead',
        message: 'No memory. Free some.'
      })
    });
    const deployment = registry.createDeployment(plan);
    await deployment.run();
    expect(deployment.problem?.problem).toBe('No memory. Free some.');
    expect(states(deployment).at(-1)).toBe('ready failed');
    serve(answers);
    await deployment.run();
    expect(lines()).toEqual(['PUT endpoints/credit']);
    expect(deployment.state).toBe('done');
  });

  it('does not call an endpoint ready that answers with another version', async () => {
    const old = endpoint({ version: 2 });
    serve({ ...answers, 'PUT endpoints/credit': old, 'GET endpoints/credit': old });
    const deployment = registry.createDeployment(plan);
    const done = deployment.run();
    await vi.advanceTimersByTimeAsync(60_000);
    await done;
    expect(deployment.state).toBe('failed');
    expect(deployment.problem?.problem).toContain('answers with version 2, not 3');
  });

  it('sends rows to the endpoint it made', async () => {
    serve({ ...answers, 'POST endpoints/credit/predict': { predictions: ['good'] } });
    const deployment = registry.createDeployment(plan, 'a/n.ipynb');
    await deployment.run();
    expect(await deployment.predict('{}')).toEqual({ predictions: ['good'] });
    expect(asked.at(-1)).toMatchObject({ path: 'a/n.ipynb', init: { body: '{}' } });
  });
});
