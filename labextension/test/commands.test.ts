import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { INotebookTracker } from '@jupyterlab/notebook';
import { Dialog } from '@jupyterlab/apputils';
import { StateDB } from '@jupyterlab/statedb';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { configure, fireEvent, screen, waitFor } from '@testing-library/react';
import { beforeEach, expect, it, vi } from 'vitest';

import {
  addCommands,
  addEndpointCommand,
  addModelCommand,
  addStepCommand,
  addVersionCommand,
  CommandIDs,
  toName
} from '../src/commands';
import { ModelRegistry } from '../src/registry';
import { StepModel } from '../src/step';
import {
  asked,
  candidates,
  endpoint,
  failure,
  lines,
  model,
  page,
  serve,
  settings,
  stepForm,
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
const activateById = vi.fn();
const onOpen = vi.fn();
const onOpenVersion = vi.fn();
const onOpenModel = vi.fn(() => Promise.resolve());
let commands: CommandRegistry;
let selected: { type: string; path: string }[];

beforeEach(() => {
  commands = new CommandRegistry();
  selected = [];
  const app = {
    commands,
    shell: { activateById },
    serviceManager: {
      contents: { localPath: (path: string) => path }
    }
  } as unknown as JupyterFrontEnd;
  const tracker = {
    currentWidget: { context: { path: 'a/Loan Risk (2).ipynb' } },
    find: () => undefined
  } as unknown as INotebookTracker;
  const registry = new ModelRegistry({ serverSettings: settings, trans });
  addCommands({ app, registry, trans, tracker, state: new StateDB() });
  onOpen.mockReset();
  addEndpointCommand({ app, registry, trans, onOpen });
  onOpenVersion.mockReset();
  addVersionCommand({ app, registry, trans, onOpen: onOpenVersion });
  addModelCommand({ app, registry, trans, onOpen: onOpenModel });
  addStepCommand({
    app,
    trans,
    notebooks: tracker,
    browsers: {
      tracker: { currentWidget: { selectedItems: () => selected } }
    } as unknown as IFileBrowserFactory,
    createModel: path => new StepModel({ serverSettings: settings, path, trans }),
    onOpenExecuted: () => undefined
  });
  return () => Dialog.tracker.forEach(dialog => dialog.reject());
});

const button = (name: string) => screen.findByRole('button', { name });
const field = (name: string) =>
  screen.findByRole<HTMLInputElement>('textbox', { name });

it('describes the arguments of every command', async () => {
  for (const id of Object.values(CommandIDs)) {
    expect(commands.label(id)).not.toBe('');
    expect((await commands.describedBy(id)).args).toMatchObject({ type: 'object' });
  }
});

it('offers the name of the notebook first, then what was chosen for it', async () => {
  serve({ 'GET runs/candidates': candidates(), 'PUT endpoints/risk': endpoint() });
  void commands.execute(CommandIDs.registerAndDeploy);
  expect((await field('Registered model')).value).toBe('loan-risk-2');
  expect((await field('Alias')).value).toBe('champion');
  fireEvent.change(await field('Registered model'), { target: { value: 'risk' } });
  fireEvent.change(await field('Alias'), { target: { value: 'best' } });
  fireEvent.click(await button('Register and deploy'));
  await button('Try again');
  fireEvent.click(await button('Close'));
  await waitFor(() => expect(document.querySelector('.jp-Dialog')).toBeNull());
  void commands.execute(CommandIDs.registerAndDeploy);
  expect((await field('Registered model')).value).toBe('risk');
  expect((await field('Alias')).value).toBe('best');
});

it('moves an alias to a version, and shows what the server objects to', async () => {
  serve({
    'PUT models/credit/aliases/best': version(2),
    'PUT models/credit/aliases/latest': () => {
      throw failure(400, 'UsageError', 'It is reserved.', 'Choose another.');
    }
  });
  for (const alias of ['best', 'latest']) {
    const done = commands.execute(CommandIDs.setAlias, { model: 'credit', version: 2 });
    const input = await waitFor(() => {
      const found = document.querySelector<HTMLInputElement>('.jp-Dialog input');
      expect(found?.value).toBe('champion');
      return found as HTMLInputElement;
    });
    input.value = alias;
    fireEvent.click(await screen.findByText('Set alias'));
    if (alias === 'latest') {
      await screen.findByText('It is reserved. Choose another.');
    } else {
      await done;
    }
  }
  expect(asked[0]?.init.body).toEqual({ version: 2 });
});

it('stops an endpoint only when that is confirmed', async () => {
  serve({ 'DELETE endpoints/credit': undefined, 'GET endpoints': page([]) });
  const refused = commands.execute(CommandIDs.stopEndpoint, { endpoint: 'credit' });
  fireEvent.click(await screen.findByText('Cancel'));
  await refused;
  expect(lines()).toEqual([]);
  const done = commands.execute(CommandIDs.stopEndpoint, { endpoint: 'credit' });
  fireEvent.click(await screen.findByText('Stop'));
  await done;
  expect(lines()).toEqual(['DELETE endpoints/credit', 'GET endpoints']);
});

it('opens the row to predict with the example of the endpoint', async () => {
  serve({ 'GET endpoints/credit': endpoint() });
  void commands.execute(CommandIDs.predict, { endpoint: 'credit' });
  expect((await field('Row to predict')).value).toContain('"data": [[30, "fixed"]]');
});

it('opens an endpoint that is named, the only one, or one of several', async () => {
  const open = (args?: { endpoint: string }) =>
    commands.execute(CommandIDs.openEndpoint, args);
  await open({ endpoint: 'risk' });
  expect(onOpen).toHaveBeenLastCalledWith('risk', undefined);
  serve({ 'GET endpoints': page([endpoint()]) });
  await open();
  expect(onOpen).toHaveBeenLastCalledWith('credit', undefined);
  serve({ 'GET endpoints': page([endpoint(), endpoint({ name: 'other' })]) });
  const done = open();
  const list = await waitFor(() => {
    const found = document.querySelector<HTMLSelectElement>('.jp-Dialog select');
    expect(found).not.toBeNull();
    return found as HTMLSelectElement;
  });
  list.value = 'other';
  fireEvent.click(await screen.findByText('Ok'));
  await done;
  expect(onOpen).toHaveBeenLastCalledWith('other', undefined);
  serve({ 'GET endpoints': page([]) });
  void open();
  await screen.findByText(/Nothing is deployed\./);
  expect(onOpen).toHaveBeenCalledTimes(3);
});

it('shows the sidebar', async () => {
  await commands.execute(CommandIDs.openSidebar);
  expect(activateById).toHaveBeenCalledExactlyOnceWith('nbmlops-panel');
});

it.each([
  ['quickstart.ipynb', 'quickstart'],
  ['a/b/Credit Scoring (v2).ipynb', 'credit-scoring-v2'],
  ['../Ünïcode.ipynb', 'n-code'],
  ['___.ipynb', 'model']
])('makes of the notebook %s the name %s', (notebook, name) => {
  expect(toName(notebook)).toBe(name);
});

it('runs the notebook in front as a step, or the one selected in the browser', async () => {
  serve({ 'GET steps': stepForm() });
  const { runAsStep } = CommandIDs;
  expect(commands.isEnabled(runAsStep, { isSelected: true })).toBe(false);
  selected = [{ type: 'notebook', path: 'b/other.ipynb' }];
  expect(commands.isEnabled(runAsStep, { isSelected: true })).toBe(true);
  void commands.execute(runAsStep, { isSelected: true });
  await screen.findByText('b/other.ipynb');
  Dialog.tracker.forEach(dialog => dialog.reject());
  await waitFor(() => expect(document.querySelector('.jp-Dialog')).toBeNull());
  void commands.execute(runAsStep);
  await screen.findByText('a/Loan Risk (2).ipynb');
  expect(asked.map(({ path }) => path)).toEqual([
    'b/other.ipynb',
    'a/Loan Risk (2).ipynb'
  ]);
});

it('opens a version, and asks for what is missing', async () => {
  serve({ 'GET models': page([model('credit')]) });
  await commands.execute(CommandIDs.openVersion, {
    model: 'risk',
    version: 4,
    path: 'a'
  });
  expect(onOpenVersion).toHaveBeenLastCalledWith('risk', 4, 'a');
  const done = commands.execute(CommandIDs.openVersion);
  fireEvent.click(await screen.findByText('Ok'));
  const number = await waitFor(() => {
    const found = document.querySelector<HTMLInputElement>('input[type=number]');
    expect(found?.value).toBe('3'); // The newest.
    return found as HTMLInputElement;
  });
  fireEvent.change(number, { target: { value: '2' } });
  fireEvent.click(await screen.findByText('Ok'));
  await done;
  expect(onOpenVersion).toHaveBeenLastCalledWith('credit', 2, undefined);
});

it('opens a model that is named, or chosen by its name', async () => {
  await commands.execute(CommandIDs.openModel, { model: 'churn', path: 'a/n.ipynb' });
  expect(onOpenModel).toHaveBeenLastCalledWith('churn', 'a/n.ipynb');
  serve({ 'GET models': page([model('credit')]) });
  const done = commands.execute(CommandIDs.openModel);
  const input = await waitFor(() => {
    const found = document.querySelector<HTMLInputElement>('.jp-Dialog input');
    expect(found).not.toBeNull();
    return found as HTMLInputElement;
  });
  input.value = 'credit';
  fireEvent.click(await screen.findByText('Ok'));
  await done;
  expect(onOpenModel).toHaveBeenLastCalledWith('credit', undefined);
});
