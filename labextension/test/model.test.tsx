import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nullTranslator } from '@jupyterlab/translation';
import {
  act,
  fireEvent,
  render,
  screen,
  waitFor,
  within
} from '@testing-library/react';
import { useState } from 'react';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { toDelta } from '../src/components/model/delta';
import { ModelView } from '../src/components/model/model-view';
import type { IRequest } from '../src/request';
import type { IComparison, IListing, IModelVersion, ITableLayout } from '../src/tokens';
import { VersionsModel } from '../src/versions';
import {
  asked,
  endpoint,
  failure,
  lines,
  model,
  page,
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
const HOSTILE = '<img src=x onerror=alert(1)>';
const SAMPLE = join(__dirname, '../../tests/server/samples/comparison.json');
const compared = JSON.parse(readFileSync(SAMPLE, 'utf8')) as IComparison;

const layout: ITableLayout = {
  columns: {},
  sort: { id: 'version', isDescending: true }
};

const champion: IModelVersion = {
  ...version(2, ['champion']),
  metrics: { roc_auc: 0.8, log_loss: 0.5, zeta: 3 }
};
const better: IModelVersion = {
  ...version(3),
  metrics: { roc_auc: 0.85, log_loss: 0.4, zeta: 2 }
};
const worse: IModelVersion = {
  ...version(1),
  metrics: { roc_auc: 0.7, log_loss: 0.5 },
  user: 'bob',
  order_note: 'odd'
};

const listing = (
  items: IModelVersion[],
  extra: Partial<IListing<IModelVersion>> = {}
): IListing<IModelVersion> => ({
  items,
  hasMore: false,
  isLoading: false,
  isLoaded: true,
  problem: null,
  reload: vi.fn(() => Promise.resolve()),
  loadMore: vi.fn(() => Promise.resolve()),
  ...extra
});

/** The view, which keeps its layout as its panel does. */
function Kept(props: Parameters<typeof ModelView>[0]) {
  const [kept, setKept] = useState(props.layout);
  const onLayout = (next: ITableLayout) => {
    setKept(next);
    props.onLayout(next);
  };
  return <ModelView {...props} layout={kept} onLayout={onLayout} />;
}

function show(extra: Partial<Parameters<typeof ModelView>[0]> = {}) {
  const props = {
    name: 'credit',
    model: model('credit'),
    versions: listing([better, champion, worse]),
    endpoints: [endpoint({ version: 2, canary_version: 3 })],
    selected: [] as number[],
    layout,
    onLayout: vi.fn(),
    comparison: null,
    problem: null,
    onSelect: vi.fn(),
    onOpen: vi.fn(),
    onCompare: vi.fn(),
    onEndComparison: vi.fn(),
    onDeploy: vi.fn(),
    onSetAlias: vi.fn(),
    ...extra
  };
  return { props, ...render(<Kept {...props} />) };
}

/** The numbers of the versions, as the rows have them. */
const numbers = () =>
  screen.getAllByRole('rowheader').map(({ textContent }) => textContent);
const row = (n: number) =>
  screen.getByRole('checkbox', { name: `Compare version ${n}` }).closest('tr')
    ?.textContent;
const sortBy = (name: string) =>
  fireEvent.click(
    within(screen.getByRole('columnheader', { name })).getByRole('button')
  );

describe('ModelView', () => {
  it('holds the metrics of each version against those of the champion', () => {
    show();
    expect(row(3)).toContain('0.85 +0.05 better');
    expect(row(3)).toContain('0.4 −0.1 better');
    expect(row(3)).toContain('2 −1');
    expect(row(1)).toContain('0.7 −0.1 worse');
    expect(row(2)).not.toMatch(/better|worse/);
    expect(screen.getByRole('status').textContent).toBe(
      '3 versions · champion: version 2'
    );
  });

  it('says of a metric only what can be known', () => {
    expect(toDelta('NaN', 1, 'max')).toBeNull();
    expect(toDelta(1, 'Infinity', 'max')).toBeNull();
    expect(toDelta(1, 1, 'max')).toBeNull();
    expect(toDelta(2, 1, null)).toEqual({ text: '+1', isBetter: null });
    expect(toDelta(0.3, 0.1, 'min')).toEqual({ text: '+0.2', isBetter: false });
  });

  it('shows who, data, order and every endpoint that answers with a version', () => {
    show();
    expect(row(1)).toContain('bob');
    expect(row(1)).toContain('train (1f2e3d4c)');
    expect(row(1)).toContain('out of order');
    expect(row(1)).not.toContain('Ready');
    expect(row(2)).toContain('Ready');
    expect(row(3)).toContain('Ready');
  });

  it('sorts by a column, either way, with what has no value last', () => {
    show();
    expect(numbers()).toEqual(['3', '2', '1']);
    sortBy('roc_auc');
    expect(numbers()).toEqual(['3', '2', '1']);
    sortBy('roc_auc');
    expect(numbers()).toEqual(['1', '2', '3']);
    const head = screen.getByRole('columnheader', { name: 'roc_auc' });
    expect(head.getAttribute('aria-sort')).toBe('ascending');
    for (const way of ['descending', 'ascending']) {
      sortBy('zeta');
      const zeta = screen.getByRole('columnheader', { name: 'zeta' });
      expect(zeta.getAttribute('aria-sort')).toBe(way);
      expect(numbers().at(-1)).toBe('1');
    }
  });

  it('shows the chosen columns, and hands on what is to be kept', () => {
    const { props } = show();
    expect(screen.getByRole('columnheader', { name: 'Who' })).toBeDefined();
    fireEvent.click(screen.getByRole('checkbox', { name: 'Who' }));
    expect(screen.queryByRole('columnheader', { name: 'Who' })).toBeNull();
    sortBy('When');
    expect(props.onLayout).toHaveBeenLastCalledWith({
      columns: { user: false },
      sort: { id: 'created_at', isDescending: false }
    });
  });

  it('has but the rows in view of a thousand versions', () => {
    const many = Array.from({ length: 1000 }, (_, n) => version(1000 - n));
    show({ versions: listing(many) });
    const rows = screen.getAllByRole('rowheader');
    expect(rows.length).toBeGreaterThan(10);
    expect(rows.length).toBeLessThan(60);
    expect(screen.getByRole('table').getAttribute('aria-rowcount')).toBe('1001');
  });

  it('acts on the version of the row', () => {
    const { props } = show();
    fireEvent.click(screen.getByRole('button', { name: 'Deploy credit version 3' }));
    expect(props.onDeploy).toHaveBeenCalledExactlyOnceWith(better);
    const alias = 'Set alias of credit version 1';
    fireEvent.click(screen.getByRole('button', { name: alias }));
    expect(props.onSetAlias).toHaveBeenCalledExactlyOnceWith(worse);
    fireEvent.click(screen.getByRole('button', { name: 'Open credit version 2' }));
    expect(props.onOpen).toHaveBeenCalledExactlyOnceWith(champion);
  });

  it('compares two, and shows what differs', () => {
    const { props, rerender } = show();
    const button = screen.getByRole('button', { name: /^Select two/ });
    expect(button).toHaveProperty('disabled', true);
    fireEvent.click(screen.getByRole('checkbox', { name: 'Compare version 3' }));
    expect(props.onSelect).toHaveBeenCalledExactlyOnceWith(3, true);
    rerender(<Kept {...props} selected={[3, 1]} />);
    fireEvent.click(screen.getByRole('button', { name: 'Compare 1 and 3' }));
    expect(props.onCompare).toHaveBeenCalledOnce();
    rerender(<Kept {...props} selected={[3, 1]} comparison={compared} />);
    const found = screen.getByRole('region', { name: 'Version 1 and version 3' });
    expect(found.textContent).toContain('roc_auc0.790.83 +0.04 better');
    expect(found.textContent).toContain('ordercleanout-of-order');
    fireEvent.click(screen.getByRole('button', { name: 'Close comparison' }));
    expect(props.onEndComparison).toHaveBeenCalledOnce();
  });

  it('shows every text as the text it is', () => {
    const hostile: IModelVersion = {
      ...version(1, [HOSTILE]),
      source: HOSTILE,
      user: HOSTILE,
      description: HOSTILE,
      verdict: HOSTILE,
      metrics: { [HOSTILE]: 1 },
      datasets: [{ name: HOSTILE, digest: HOSTILE }]
    };
    const { container } = show({
      name: HOSTILE,
      model: { ...model(HOSTILE), description: HOSTILE, tags: { [HOSTILE]: HOSTILE } },
      versions: listing([hostile])
    });
    expect(container.querySelector('img')).toBeNull();
    expect(screen.getAllByText(HOSTILE).length).toBeGreaterThan(4);
  });

  it('says what to do when there is nothing, and what went wrong', () => {
    const { rerender, props } = show({ versions: listing([]) });
    expect(screen.getByText(/Fit a model in a %%track cell/)).toBeDefined();
    const problem = { problem: 'The store is away.', fix: 'Start it.' };
    const versions = listing([], { problem, isLoaded: false });
    rerender(<Kept {...props} versions={versions} />);
    fireEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect(versions.reload).toHaveBeenCalledOnce();
  });
});

describe('VersionsModel', () => {
  const all = Array.from({ length: 450 }, (_, n) => version(450 - n));
  const answers = {
    'GET models/credit': model('credit'),
    'GET models/credit/versions': ({ query }: IRequest) => {
      const from = Number(query?.page_token ?? 0);
      const to = from + Number(query?.limit);
      return page(all.slice(from, to), to < all.length ? String(to) : null);
    },
    'GET endpoints': page([endpoint(), endpoint({ name: 'other', model: 'other' })]),
    'GET runs/compare': compared
  };
  let events: ReturnType<typeof stream>;
  let versions: VersionsModel;

  beforeEach(() => {
    serve(answers);
    events = stream();
    versions = new VersionsModel({
      serverSettings: settings,
      path: 'a/n.ipynb',
      model: 'credit',
      trans
    });
    return () => versions.dispose();
  });

  async function resume() {
    versions.resume();
    await waitFor(() => expect(versions.versions.items).toHaveLength(450));
  }

  it('reads all pages, the model and its endpoints, in its own project', async () => {
    await resume();
    expect(asked.filter(({ line }) => line.endsWith('/versions'))).toHaveLength(3);
    expect(versions.model?.name).toBe('credit');
    expect(versions.endpoints.map(({ name }) => name)).toEqual(['credit']);
    expect(new Set(asked.map(({ path }) => path))).toEqual(new Set(['a/n.ipynb']));
  });

  it('reads again what an event names, and nothing once it is hidden', async () => {
    await resume();
    serve(answers);
    events.changed('endpoints');
    expect(lines()).toEqual(['GET endpoints']);
    versions.pause();
    expect(events.isOpen).toBe(false);
  });

  it('compares the two that were selected last, the older one first', async () => {
    await resume();
    for (const number of [5, 9, 7]) {
      versions.select(number, true);
    }
    expect(versions.selected).toEqual([9, 7]);
    await versions.compare();
    expect(versions.comparison).toEqual(compared);
    versions.select(9, false);
    expect(versions.selected).toEqual([7]);
    expect(versions.comparison).toBeNull();
  });

  it('shows why two cannot be compared', async () => {
    serve({
      ...answers,
      'GET models/credit/versions': page([version(2), { ...version(1), run_id: null }])
    });
    versions.resume();
    await waitFor(() => expect(versions.versions.isLoaded).toBe(true));
    versions.select(1, true);
    versions.select(2, true);
    await act(() => versions.compare());
    expect(versions.problem?.problem).toBe('Version 1 has no run to compare.');
    serve({
      'GET runs/compare': () => {
        throw failure(502, 'StoreError', 'The store is away.', 'Start it.');
      }
    });
    versions.select(1, false);
    expect(versions.problem).toBeNull();
  });
});
