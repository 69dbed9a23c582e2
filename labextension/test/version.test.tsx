import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, render, screen, within } from '@testing-library/react';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { toSize } from '../src/components/version/files';
import { VersionView } from '../src/components/version/version-view';
import type { ILineageNode, IVersionDetail } from '../src/tokens';
import { VersionModel } from '../src/version';
import { asked, failure, lines, run, serve, settings, stream, version } from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

const trans = nullTranslator.load('nbmlops');
const HOSTILE = '<img src=x onerror=alert(1)>';
const ROUTE = 'GET models/credit/versions/4';
const CODE = {
  run_id: 'a'.repeat(32),
  n_equal: 2,
  note: '',
  is_equal: false,
  cells: [
    {
      change: 'changed' as const,
      positions: [1, 1] as [number, number],
      lines: ['- C = 1', '+ C = 2']
    }
  ]
};

const metric = (
  name: string,
  change: number | null,
  is_better: boolean | null,
  values: (number | null)[] = []
) => ({
  name,
  mode: null,
  change,
  is_better,
  values,
  steps: values.map((_, step) => step)
});

const node = (
  kind: ILineageNode['kind'],
  name: string,
  title: string,
  fine: string
) => ({
  id: kind,
  kind,
  name,
  title,
  detail: fine
});

const detail = (extra: Partial<IVersionDetail> = {}): IVersionDetail => ({
  version: {
    ...version(4, ['challenger']),
    metrics: { roc_auc: 0.8, loss: 0.5, n: 3 },
    user: 'ada',
    datasets: [{ name: 'people', digest: 'd1gest' }]
  },
  champion: {
    ...version(3, ['champion']),
    run_id: 'b'.repeat(32),
    metrics: { roc_auc: 0.75, loss: 0.25, n: 2 }
  },
  run,
  commit: 'c0ffee'.repeat(6),
  notebook: 'notebooks/quickstart.ipynb',
  cells: [4, 7],
  has_notebook: true,
  replay: { verdict: 'equal', run_id: 'e'.repeat(32) },
  endpoints: [{ name: 'live', role: 'canary', share: 0.25 }],
  columns: [
    {
      name: 'Age',
      type: 'double',
      is_required: true,
      low: 18,
      high: 90,
      categories: []
    },
    {
      name: 'Colour',
      type: 'string',
      is_required: false,
      low: null,
      high: null,
      categories: ['blue', 'red']
    }
  ],
  outputs: [{ name: '', type: 'string', is_required: true }],
  example: { columns: ['Age', 'Colour'], data: [[30, null]] },
  metrics: [
    metric('loss', 0.25, false, [2, null, 1, 0.5]),
    metric('n', 1, null),
    metric('roc_auc', 0.05, true)
  ],
  files: [{ path: 'model.skops', size_bytes: 12_345 }],
  figures: [{ path: 'figures/roc.png', size_bytes: 10 }],
  nodes: [
    node('data', 'people', 'people', 'd1gest'),
    node('notebook', 'notebooks/quickstart.ipynb', 'quickstart.ipynb', 'c0ffee'),
    node('run', 'a', 'fit', 'FINISHED'),
    node('version', 'credit', 'credit/4', ''),
    node('endpoint', 'live', 'live', 'canary')
  ],
  edges: [
    { first: 'data', second: 'run' },
    { first: 'notebook', second: 'run' },
    { first: 'run', second: 'version' },
    { first: 'version', second: 'endpoint' }
  ],
  notes: [],
  ...extra
});

function show(extra: Partial<Parameters<typeof VersionView>[0]> = {}) {
  const props = {
    name: 'credit',
    version: 4,
    detail: detail(),
    isGone: false,
    problem: null,
    code: null,
    isComparing: false,
    codeProblem: null,
    toImageUrl: (file: string) => `/image?file=${file}`,
    onRetry: vi.fn(),
    onCompare: vi.fn(),
    onDeploy: vi.fn(),
    onSetAlias: vi.fn(),
    onOpenNotebook: vi.fn(),
    onOpenExecuted: vi.fn(),
    onOpenEndpoint: vi.fn(),
    ...extra
  };
  return { props, ...render(<VersionView {...props} />) };
}

const press = (name: string) => fireEvent.click(screen.getByRole('button', { name }));

/** The cells of the row that a name begins. */
const row = (section: string, name: string) => {
  const region = screen.getByRole('region', { name: section });
  const header = within(region).getByRole('rowheader', { name });
  const cells = within(header.closest('tr') as HTMLElement).getAllByRole('cell');
  return cells.map(cell => cell.textContent);
};

describe('VersionModel', () => {
  const create = () =>
    new VersionModel({
      serverSettings: settings,
      path: 'a',
      name: 'credit',
      version: 4,
      trans
    });

  afterEach(() => vi.clearAllMocks());

  it('reads when it shows, and again when something changes', async () => {
    const sent = stream();
    serve({ [ROUTE]: detail() });
    const model = create();
    expect(lines()).toEqual([]);
    model.resume();
    await vi.waitFor(() => expect(model.detail?.version.version).toBe(4));
    expect(asked.map(({ path }) => path)).toEqual(['a']);
    sent.changed('pipelines');
    expect(lines()).toHaveLength(1);
    sent.changed('models');
    await vi.waitFor(() => expect(lines()).toHaveLength(2));
    model.pause();
    expect(sent.isOpen).toBe(false);
    model.dispose();
  });

  it('asks once more for all that changes while it reads', async () => {
    const sent = stream();
    let answer: (value: unknown) => void = () => undefined;
    serve({ [ROUTE]: () => new Promise(resolve => (answer = resolve)) });
    const model = create();
    model.resume();
    await vi.waitFor(() => expect(lines()).toHaveLength(1));
    await Promise.resolve();
    sent.changed('models');
    sent.changed('runs');
    sent.changed('endpoints');
    answer(detail());
    await vi.waitFor(() => expect(lines()).toHaveLength(2));
    answer(detail());
    await Promise.resolve();
    expect(lines()).toHaveLength(2);
    model.dispose();
  });

  it('keeps what it has while the server is away, and nothing of what is gone', async () => {
    stream();
    let problem: Error | null = null;
    serve({
      [ROUTE]: () => {
        if (problem) {
          throw problem;
        }
        return detail();
      }
    });
    const model = create();
    await model.refresh();
    problem = failure(502, 'StoreError', 'The store does not answer.', 'Wait.');
    await model.refresh();
    expect(model.problem?.problem).toBe('The store does not answer.');
    expect(model.detail).not.toBeNull();
    problem = failure(404, 'NotFoundError', 'No version 4.', '');
    await model.refresh();
    expect([model.detail, model.isGone]).toEqual([null, true]);
    problem = null;
    await model.refresh();
    expect([model.problem, model.isGone]).toEqual([null, false]);
  });

  it('compares with the code of the champion, and says why it cannot', async () => {
    serve({ [ROUTE]: detail(), 'GET runs/compare': { code: [CODE] } });
    const model = create();
    await model.refresh();
    await model.compareCode();
    expect(asked.at(-1)?.init.query).toEqual({ a: 'b'.repeat(32), b: 'a'.repeat(32) });
    expect(model.code).toEqual(CODE);
    serve({});
    await model.compareCode();
    expect(model.codeProblem).not.toBeNull();
    expect(model.isComparing).toBe(false);
  });

  it('has images where their route is', async () => {
    serve({ [ROUTE]: detail() });
    const model = create();
    await model.refresh();
    expect(model.toImageUrl('figures/a b.png')).toBe(
      `http://lab.test/base/nbmlops/api/runs/${'a'.repeat(32)}/artifacts` +
        '?file=figures%2Fa%20b.png&path=a'
    );
  });
});

describe('VersionView', () => {
  it('names the version, who made it, from what, and where it serves', () => {
    const { props } = show();
    expect(screen.getByRole('heading', { level: 1 }).textContent).toBe(
      'credit version 4'
    );
    for (const text of ['challenger', 'ada', '[4] [7]', 'replay: equal', 'version 3']) {
      expect(screen.getByText(text)).toBeTruthy();
    }
    expect(screen.getByText('people d1gest')).toBeTruthy();
    expect(screen.getByText('canary, 25% of the requests')).toBeTruthy();
    press('Open endpoint live');
    expect(props.onOpenEndpoint).toHaveBeenCalledWith('live');
  });

  it('holds each metric against that of the champion', () => {
    show();
    expect(row('Metrics', 'roc_auc').slice(0, 3)).toEqual([
      '0.8',
      '0.75',
      '+0.05 better'
    ]);
    expect(row('Metrics', 'loss').slice(0, 3)).toEqual(['0.5', '0.25', '+0.25 worse']);
    expect(row('Metrics', 'n').slice(0, 3)).toEqual(['3', '2', '+1']);
    expect(
      screen.getByRole('img', { name: 'loss: 0.5 to 2 in steps 0 to 3' })
    ).toBeTruthy();
  });

  it('shows no column of a champion where there is none', () => {
    show({ detail: detail({ champion: null }) });
    expect(screen.queryByText('Change')).toBeNull();
    expect(
      screen.queryByRole('button', { name: "Diff with the champion's notebook" })
    ).toBeNull();
  });

  it('shows the columns with what training saw, and the example', () => {
    show();
    expect(row('Signature', 'Age')).toEqual(['double', '18 to 90', 'no']);
    expect(row('Signature', 'Colour')).toEqual(['string', 'blue, red', 'yes']);
    const example = screen.getByRole('region', { name: 'Input example' });
    expect(
      within(example)
        .getAllByRole('cell')
        .map(cell => cell.textContent)
    ).toEqual(['30', '–']);
    expect(row('Files', 'model.skops')).toEqual(['12.3 kB']);
  });

  it('follows what the version comes from and goes to', () => {
    const { props } = show();
    press('Notebook quickstart.ipynb c0ffee: open');
    expect(props.onOpenNotebook).toHaveBeenCalledWith('notebooks/quickstart.ipynb');
    press('Run fit FINISHED: open the notebook as it was');
    press('Open the notebook as it was');
    expect(props.onOpenExecuted).toHaveBeenCalledTimes(2);
    press('Endpoint live canary: open');
    expect(props.onOpenEndpoint).toHaveBeenCalledWith('live');
    const lineage = screen.getByRole('region', { name: 'Lineage' });
    expect(within(lineage).getAllByRole('listitem')).toHaveLength(5);
    expect(lineage.querySelectorAll('path')).toHaveLength(4);
  });

  it('offers to compare, to deploy and to set an alias', () => {
    const { props } = show();
    press("Diff with the champion's notebook");
    press('Deploy…');
    press('Set alias…');
    for (const called of [props.onCompare, props.onDeploy, props.onSetAlias]) {
      expect(called).toHaveBeenCalledOnce();
    }
  });

  it('shows what differs line by line', () => {
    show({ code: CODE });
    expect(screen.getByText('1 cell differs, 2 are the same.')).toBeTruthy();
    expect(screen.getByLabelText('Cell 1: changed').textContent).toBe(
      '- C = 1\n+ C = 2\n'
    );
  });

  it('says of an image that it cannot be shown', () => {
    show();
    fireEvent.error(screen.getByRole('img', { name: 'figures/roc.png' }));
    expect(screen.getByText('This image cannot be shown.')).toBeTruthy();
  });

  it('says that it reads, what is wrong, and that a version is gone', () => {
    const { rerender, props } = show({ detail: null });
    expect(screen.getByRole('status').textContent).toBe('Reading version 4 of credit…');
    const problem = { problem: 'No version 4.', fix: 'Register one.' };
    rerender(<VersionView {...props} detail={null} problem={problem} isGone />);
    expect(screen.getByRole('heading').textContent).toBe('credit version 4 is gone');
    expect(screen.getByRole('alert').textContent).toContain('Register one.');
    press('Try again');
    expect(props.onRetry).toHaveBeenCalledOnce();
  });

  it('says what there is nothing of', () => {
    show({
      detail: detail({
        metrics: [],
        columns: [],
        outputs: [],
        example: null,
        figures: [],
        files: [],
        endpoints: [],
        has_notebook: false,
        notes: ['The files are gone.']
      })
    });
    for (const text of [
      'The run logged no metrics.',
      'No rows were stored with the model.',
      'The files of the model are not there.',
      'No endpoint serves it.',
      'The files are gone.'
    ]) {
      expect(screen.getByText(text)).toBeTruthy();
    }
    expect(screen.queryByRole('region', { name: 'Figures' })).toBeNull();
    expect(screen.queryByRole('button', { name: /as it was/ })).toBeNull();
  });

  it('shows hostile texts as texts', () => {
    const given = detail();
    const { container } = show({
      detail: {
        ...given,
        version: {
          ...given.version,
          model: HOSTILE,
          description: HOSTILE,
          user: HOSTILE,
          aliases: [HOSTILE]
        },
        columns: given.columns.map(each => ({ ...each, categories: [HOSTILE] })),
        example: { columns: [HOSTILE], data: [[HOSTILE], [{ a: HOSTILE }]] },
        metrics: [metric(HOSTILE, 0, null)],
        nodes: given.nodes.map(each => ({ ...each, title: HOSTILE, detail: HOSTILE })),
        files: [{ path: HOSTILE, size_bytes: 1 }],
        figures: [],
        notes: [HOSTILE]
      },
      code: { ...CODE, cells: CODE.cells.map(each => ({ ...each, lines: [HOSTILE] })) }
    });
    expect(container.querySelectorAll('img')).toHaveLength(0);
    expect(container.textContent).toContain(HOSTILE);
  });
});

it('writes sizes in three digits', () => {
  expect([0, 999, 12_345, 2_500_000].map(toSize)).toEqual([
    '0 B',
    '999 B',
    '12.3 kB',
    '2.5 MB'
  ]);
});
