import { Dialog, Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { configure, fireEvent, screen, waitFor } from '@testing-library/react';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { ModelRegistry } from '../src/registry';
import {
  type IDeployDialogOptions,
  showDeployDialog
} from '../src/widgets/deploy-dialog';
import {
  asked,
  candidates,
  endpoint,
  failure,
  lines,
  run,
  serve,
  settings,
  version
} from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

// A <dialog> is shown by JupyterLab's style sheet, which is not loaded here.
configure({ defaultHidden: true });

const trans = nullTranslator.load('nbmlops');
const registry = new ModelRegistry({ serverSettings: settings, trans });

const answers = {
  'GET runs/candidates': candidates(),
  'POST models/credit/versions': version(3),
  'PUT endpoints/credit': endpoint(),
  'POST endpoints/credit/predict': { predictions: ['good'] }
};

const refuse = (problem: string, fix: string) => () => {
  throw failure(400, 'UsageError', problem, fix);
};

function show(extra: Partial<IDeployDialogOptions> = {}) {
  const onChosen = vi.fn();
  const closed = showDeployDialog({
    registry,
    notebook: 'a/credit.ipynb',
    choice: { model: 'credit', alias: 'champion' },
    onChosen,
    trans,
    ...extra
  });
  return { onChosen, closed };
}

const button = (name: string) => screen.findByRole('button', { name });
const press = async (name: string) => fireEvent.click(await button(name));
const escape = () => fireEvent.keyDown(document.body, { key: 'Escape' });

beforeEach(() => {
  serve(answers);
  return () => Dialog.tracker.forEach(dialog => dialog.reject());
});

describe('Register and deploy', () => {
  it('goes from the newest run of the notebook to a prediction', async () => {
    const { onChosen, closed } = show();
    expect(await screen.findByRole('option', { name: /^boosting/ })).toBeDefined();
    await press('Register and deploy');
    expect(onChosen).toHaveBeenCalledWith({ model: 'credit', alias: 'champion' });
    expect(await screen.findByText(endpoint().url)).toBeDefined();
    await press('Predict');
    expect(await screen.findByText('good')).toBeDefined();
    expect(lines()).toEqual(Object.keys(answers));
    await press('Close');
    await closed;
  });

  it('registers under the name and alias that were typed', async () => {
    serve({
      'GET runs/candidates': candidates(),
      'POST models/risk/versions': { ...version(1), model: 'risk' },
      'PUT endpoints/risk': endpoint({ name: 'risk', version: 1 })
    });
    show();
    const name = await screen.findByRole('textbox', { name: 'Registered model' });
    fireEvent.change(name, { target: { value: ' risk ' } });
    const alias = screen.getByRole('textbox', { name: 'Alias' });
    fireEvent.change(alias, { target: { value: '' } });
    await press('Register and deploy');
    await button('Predict');
    expect(asked.at(-1)?.init.body).toEqual({ model: 'risk', version: 1 });
  });

  it('offers the best run first, and shows how it differs from the champion', async () => {
    const better = { ...run, run_id: 'b2', name: 'forest', metrics: { auc: 0.95 } };
    serve({
      ...answers,
      'GET runs/candidates': candidates({
        runs: [better, run],
        best: 'b2',
        metric: 'auc',
        modes: { auc: 'max' },
        replaced: { ...version(2, ['champion']), metrics: { auc: 0.9 }, params: {} }
      })
    });
    show();
    const options = await screen.findAllByRole('option');
    expect(options[0]?.textContent).toContain('forest · best · auc 0.95');
    expect(options[1]?.textContent).toContain('boosting · newest');
    expect(screen.getByRole('row', { name: /^auc/ }).textContent).toBe(
      'auc0.950.9+0.05 better'
    );
    expect(screen.getByText('It replaces version 2 as champion.')).toBeDefined();
    fireEvent.change(screen.getByRole('combobox', { name: 'Run' }), {
      target: { value: run.run_id }
    });
    await press('Register and deploy');
    await button('Predict');
    expect(asked.find(({ line }) => line.startsWith('POST models'))?.init.body).toEqual(
      {
        run_id: run.run_id
      }
    );
  });

  it('registers as a canary of the endpoint that serves the model', async () => {
    serve({
      ...answers,
      'GET runs/candidates': candidates({ endpoint: 'credit' }),
      'PUT endpoints/credit/canary': endpoint({ canary_version: 3 })
    });
    show();
    fireEvent.click(await screen.findByRole('checkbox', { name: /As a canary/ }));
    fireEvent.change(screen.getByRole('spinbutton'), { target: { value: '25' } });
    await press('Register as canary');
    expect(
      await screen.findByText('version 3 answers 25% of the requests')
    ).toBeDefined();
    expect(asked.at(-1)?.init.body).toEqual({ version: 3, share: 0.25 });
    expect(lines()).not.toContain('PUT endpoints/credit');
  });

  it('asks again for what another name or alias would replace', async () => {
    serve(answers);
    show();
    const name = await screen.findByRole('textbox', { name: 'Registered model' });
    fireEvent.change(name, { target: { value: 'risk' } });
    await waitFor(() =>
      expect(
        asked.filter(({ line }) => line === 'GET runs/candidates').at(-1)?.init.query
      ).toMatchObject({ model: 'risk', alias: 'champion' })
    );
  });

  it('says how to make a run when there is none with a model', async () => {
    serve({ 'GET runs/candidates': candidates({ runs: [], newest: null }) });
    const { closed } = show();
    const alert = await screen.findByRole('alert');
    expect(alert.textContent).toContain('No run of a/credit.ipynb has a model yet.');
    expect(alert.textContent).toContain('%%track');
    escape();
    await closed;
    expect(lines()).toEqual(['GET runs/candidates']);
  });

  it('says how to install the server extension when it is missing', async () => {
    serve({});
    show();
    expect((await screen.findByRole('alert')).textContent).toContain(
      'pip install nbmlops'
    );
    serve(answers);
    await press('Try again');
    expect(await screen.findByRole('option', { name: /^boosting/ })).toBeDefined();
  });

  it('lets a refused name be changed when nothing was done yet', async () => {
    serve({
      ...answers,
      'POST models/credit/versions': refuse('No such name.', 'Use letters.')
    });
    show();
    await press('Register and deploy');
    expect((await screen.findByRole('alert')).textContent).toContain(
      'No such name.Use letters.'
    );
    await press('Back');
    const name = await screen.findByRole('textbox', { name: 'Registered model' });
    expect(name).toHaveProperty('value', 'credit');
  });

  it('says what was done when a later step fails, and goes on from there', async () => {
    serve({
      ...answers,
      'PUT endpoints/credit': refuse('The port is taken.', 'Free it.')
    });
    show();
    await press('Register and deploy');
    expect((await screen.findByRole('alert')).textContent).toContain(
      'The port is taken.Free it.'
    );
    expect(
      screen.getAllByRole('listitem').map(({ textContent }) => textContent)
    ).toEqual(['Registercredit version 3', 'Deployfailed', 'Readynot started']);
    expect(screen.queryByRole('button', { name: 'Back' })).toBeNull();
    serve(answers);
    await press('Try again');
    await button('Predict');
    expect(lines()).toEqual(['PUT endpoints/credit']);
  });

  it('deploys a version without asking for a run or a name', async () => {
    show({ notebook: undefined, version: 3 });
    await button('Deploy');
    expect(screen.queryByRole('textbox', { name: 'Registered model' })).toBeNull();
    await press('Deploy');
    await button('Predict');
    expect(lines()).toEqual(['PUT endpoints/credit']);
  });

  it('goes on when it is closed early, and a notification says how it ends', async () => {
    let release: (value: unknown) => void = () => undefined;
    serve({
      ...answers,
      'PUT endpoints/credit': () => new Promise(resolve => (release = resolve))
    });
    const { closed } = show();
    await press('Register and deploy');
    await waitFor(() => expect(lines()).toContain('PUT endpoints/credit'));
    await press('Go on in the background');
    await waitFor(() => expect(Notification.manager.count).toBe(1));
    expect(Notification.manager.notifications[0]?.type).toBe('in-progress');
    release(endpoint());
    await closed;
    expect(Notification.manager.notifications[0]).toMatchObject({
      type: 'success',
      message: `credit answers at ${endpoint().url}`
    });
    Notification.dismiss();
  });

  it('keeps Enter for its own buttons and Tab inside', async () => {
    show();
    const first = await button('Register and deploy');
    const enter = fireEvent.keyDown(first, { key: 'Enter' });
    expect(enter).toBe(true);
    expect(document.querySelector('.jp-Dialog')).not.toBeNull();
    first.focus();
    fireEvent.keyDown(first, { key: 'Tab' });
    expect(document.activeElement?.closest('.jp-Dialog-header')).not.toBeNull();
    fireEvent.keyDown(document.activeElement ?? first, { key: 'Tab', shiftKey: true });
    expect(document.activeElement).toBe(first);
  });
});
