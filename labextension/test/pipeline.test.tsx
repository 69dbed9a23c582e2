import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, it, vi } from 'vitest';

import { formatDuration } from '../src/components/pipeline/live-state';
import { toShown } from '../src/components/pipeline/pipeline-state';
import { PipelineView } from '../src/components/pipeline/pipeline-view';
import { PipelineModel } from '../src/pipeline';
import { RunDrive, toDrivePath } from '../src/executed';
import type { ILiveRun, ILiveStep } from '../src/tokens';
import { failure, lines, liveRun, pipeline, serve, settings, stream } from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

const trans = nullTranslator.load('nbmlops');
const PATH = 'flows/pipeline.yaml';
let model: PipelineModel;
let sent: ReturnType<typeof stream>;

beforeEach(() => {
  sent = stream();
  model = new PipelineModel({ serverSettings: settings, path: PATH, trans });
  return () => model.dispose();
});

const running = (...steps: Partial<ILiveStep>[]): ILiveRun =>
  liveRun({ status: 'RUNNING', ended_at: null, run_id: null }, ...steps);

it('plans when it is shown, and follows a run by events alone', async () => {
  serve({
    'GET pipelines': pipeline({ run: null }),
    'POST pipelines/runs': running({ step: 'train', state: 'waiting' }),
    [`GET pipelines/runs/${running().id}`]: running({ step: 'train', state: 'running' })
  });
  model.resume();
  await waitFor(() => expect(model.view?.name).toBe('churn'));
  await model.start({ from_step: 'train' });
  expect(model.run?.steps[0]?.state).toBe('waiting');
  const n_asked = lines().length;
  sent.changed('models', 'runs');
  expect(lines().length).toBe(n_asked);
  sent.changed('pipelines');
  await waitFor(() => expect(model.run?.steps[0]?.state).toBe('running'));

  const done = liveRun({}, { step: 'train', state: 'done' });
  serve({
    [`GET pipelines/runs/${done.id}`]: done,
    'GET pipelines': pipeline({ run: done })
  });
  sent.changed('pipelines');
  await waitFor(() => expect(lines()).toContain('GET pipelines'));
  expect(model.run?.status).toBe('FINISHED');
  model.pause();
  expect(sent.isOpen).toBe(false);
});

it('keeps what it shows when the server objects, and says what it said', async () => {
  serve({ 'GET pipelines': pipeline({ run: null }) });
  await model.refresh();
  serve({
    'POST pipelines/runs': () => {
      throw failure(409, 'ConflictError', 'It runs.', 'Wait.');
    }
  });
  await model.start({});
  expect(model.view?.name).toBe('churn');
  expect(model.problem).toMatchObject({ problem: 'It runs.', fix: 'Wait.' });
  expect(model.isStarting).toBe(false);
});

it('shows a plan, unless a run says more', () => {
  const view = pipeline({
    plan: [
      { step: 'train[C=1]', state: 'cached', why: 'as made by run a', run_id: 'a' },
      { step: 'train[C=2]', state: 'run', why: 'param C changed', run_id: null }
    ]
  });
  const [planned] = toShown(view, null);
  expect(planned).toMatchObject({ state: 'run', why: 'param C changed' });
  const live = running(
    { step: 'train[C=1]', state: 'done', duration_s: 2, run_id: 'a' },
    { step: 'train[C=2]', state: 'running', duration_s: 1, run_id: null }
  );
  const [now] = toShown(view, live);
  expect(now).toMatchObject({ state: 'running', duration_s: 3 });
  const ended = { ...live, status: 'FAILED' as const };
  ended.steps = live.steps.map(step =>
    step.step === 'train[C=2]' ? { ...step, state: 'failed' as const } : step
  );
  expect(toShown(view, ended)[0]).toMatchObject({ state: 'failed' });
  const fixed = pipeline({
    plan: view.plan.map(plan => ({ ...plan, state: 'cached' as const, run_id: 'b' }))
  });
  expect(toShown(fixed, ended)[0]).toMatchObject({ state: 'cached', duration_s: 0 });
});

it('offers what can be done with a step, by keyboard too', () => {
  const done = liveRun(
    {},
    { step: 'train', state: 'done', run_id: 'a'.repeat(32), has_notebook: true }
  );
  const view = pipeline({
    plan: [{ step: 'train', state: 'cached', why: '', run_id: 'a'.repeat(32) }],
    run: done
  });
  const called = vi.fn<(...args: unknown[]) => void>();
  render(
    <PipelineView
      view={view}
      run={done}
      problem={null}
      isStarting={false}
      onRun={choice => called('run', choice)}
      onStop={() => called('stop')}
      onRefresh={() => called('refresh')}
      onEdit={() => called('edit')}
      onOpenNotebook={step => called('notebook', step.name)}
      onOpenExecuted={run => called('executed', run.name)}
      onShowRun={run_id => called('show', run_id)}
    />
  );
  const steps = screen.getByRole('list', { name: 'Steps of churn' });
  const box = within(steps).getByRole('button');
  expect(screen.getByRole('status').textContent).toContain('Nothing to run');
  fireEvent.click(box);
  expect(box.getAttribute('aria-pressed')).toBe('true');
  for (const [name, args] of [
    ['Open notebook', ['notebook', 'train']],
    ['Open the executed notebook of train', ['executed', 'train']],
    ['Show the run of train', ['show', 'a'.repeat(32)]],
    ['Run from here', ['run', { from_step: 'train' }]],
    ['Force this step', ['run', { force: ['train'] }]],
    ['Run', ['run', {}]],
    ['Force all', ['run', { force: ['*'] }]],
    ['Edit file', ['edit']],
    ['Plan again', ['refresh']]
  ] as const) {
    fireEvent.click(screen.getByRole('button', { name }));
    expect(called).toHaveBeenLastCalledWith(...args);
  }
  expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Stop' }).disabled).toBe(
    true
  );
});

it('writes durations as they are read', () => {
  expect([0.04, 12.4, 185, 7380].map(formatDuration)).toEqual([
    '0.0 s',
    '12 s',
    '3 min 5 s',
    '2 h 3 min'
  ]);
});

it('reads executed notebooks, of any step, and writes none', async () => {
  const drive = new RunDrive(settings);
  const executed = { path: PATH, step: 'train[p=a/b%]', run_id: null, live_id: '1f' };
  const path = toDrivePath(executed).replace('nbmlops:', '');
  let asked: unknown;
  serve({
    'GET pipelines/runs/1f/notebook': ({ query }) => {
      asked = query?.step;
      return { cells: [] };
    },
    'GET runs/2e/notebook': { cells: [1] }
  });
  const found = await drive.get(path);
  expect(asked).toBe('train[p=a/b%]');
  expect(found).toMatchObject({ writable: false, type: 'notebook', format: 'json' });
  const other = toDrivePath({ ...executed, live_id: null, run_id: '2e' });
  expect((await drive.get(other.replace('nbmlops:', ''))).content).toEqual({
    cells: [1]
  });
  await expect(drive.save()).rejects.toThrow('read only');
  drive.dispose();
});
