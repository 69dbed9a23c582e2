import { Dialog } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { configure, fireEvent, screen, waitFor } from '@testing-library/react';
import { beforeEach, expect, it, vi } from 'vitest';

import { RequestError } from '../src/request';
import { StepModel } from '../src/step';
import { showStepDialog } from '../src/widgets/step-dialog';
import { asked, failure, liveRun, serve, settings, stepForm, stream } from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

// A <dialog> is shown by JupyterLab's style sheet, which is not loaded here.
configure({ defaultHidden: true });

const trans = nullTranslator.load('nbmlops');
const onOpenExecuted = vi.fn();
let model: StepModel;
let sent: ReturnType<typeof stream>;

beforeEach(() => {
  sent = stream();
  model = new StepModel({ serverSettings: settings, path: 'a/train.ipynb', trans });
  onOpenExecuted.mockReset();
  return () => Dialog.tracker.forEach(dialog => dialog.reject());
});

const open = () =>
  showStepDialog({ notebook: 'a/train.ipynb', model, onOpenExecuted, trans });
const button = (name: string) => screen.findByRole('button', { name });
const sentTexts = () =>
  asked
    .filter(({ line }) => line === 'POST steps/runs')
    .map(({ init }) => (init.body as { texts: unknown }).texts);

it('asks by type, sends what was changed, and shows each fault at its field', async () => {
  serve({
    'GET steps': stepForm(),
    'POST steps/runs': () => {
      const { response } = failure(400, '', '', '');
      throw new RequestError(response, 'ParametersError', 'C is wrong.', 'Fix it.', {
        C: "Parameter 'C' is wrong."
      });
    }
  });
  void open();
  const C = await screen.findByRole<HTMLInputElement>('textbox', { name: /^C / });
  const kind = screen.getByRole<HTMLSelectElement>('combobox', { name: /^kind / });
  const fast = screen.getByRole<HTMLInputElement>('checkbox', { name: /^is_fast / });
  expect([C.value, kind.value, fast.checked]).toEqual(['1.0', 'l2', false]);
  expect([...kind.options].map(({ value }) => value)).toEqual(['l1', 'l2']);
  fireEvent.change(C, { target: { value: 'a lot' } });
  fireEvent.click(fast);
  fireEvent.click(await button('Run'));
  expect((await screen.findByRole('alert')).textContent).toBe(
    "Parameter 'C' is wrong."
  );
  expect(C.getAttribute('aria-invalid')).toBe('true');
  expect(kind.getAttribute('aria-invalid')).toBe('false');
  expect(sentTexts()).toEqual([{ C: 'a lot', is_fast: 'true', target: '' }]);
});

it('follows the cells, opens the growing notebook, and can be stopped', async () => {
  const cells = {
    n_done: 1,
    n_cells: 4,
    cell: 'model.fit(X, y)',
    expected_s: null
  };
  const step = { step: 'train', state: 'running' as const, has_notebook: true };
  const run = liveRun({ kind: 'step', status: 'RUNNING' }, { ...step, cells: null });
  serve({
    'GET steps': stepForm(),
    'POST steps/runs': run,
    [`GET pipelines/runs/${run.id}`]: { ...run, steps: [{ ...run.steps[0], cells }] },
    [`DELETE pipelines/runs/${run.id}`]: { ...run, is_stopping: true }
  });
  const closed = open();
  fireEvent.click(await button('Run'));
  await button('Go on in the background');
  sent.changed('pipelines');
  await screen.findByText('cell 2 of 4');
  expect(screen.getByText('model.fit(X, y)')).toBeTruthy();
  fireEvent.click(await button('Stop'));
  await waitFor(() => expect(model.run?.is_stopping).toBe(true));

  const killed = { ...run, status: 'KILLED' as const, problem: 'It was stopped.' };
  serve({ [`GET pipelines/runs/${run.id}`]: killed });
  sent.changed('pipelines');
  expect((await screen.findByRole('alert')).textContent).toContain('It was stopped.');
  expect(sent.isOpen).toBe(false);
  fireEvent.click(await button('Open executed notebook'));
  await closed;
  expect(onOpenExecuted).toHaveBeenCalledWith(killed);
});
