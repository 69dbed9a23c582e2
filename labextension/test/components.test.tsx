import { Clipboard } from '@jupyterlab/apputils';
import { fireEvent, render, screen, within } from '@testing-library/react';
import { describe, expect, it, vi } from 'vitest';

import { EndpointsView } from '../src/components/endpoints-view';
import { formatMetric } from '../src/components/metrics';
import { ModelsView } from '../src/components/models-view';
import { PredictForm } from '../src/components/predict-form';
import { ProblemNotice } from '../src/components/problem-notice';
import { RunDetails } from '../src/components/run-details';
import type { IListing, IModelVersion, IProblem } from '../src/tokens';
import { endpoint, model, run, version } from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

const HOSTILE = '<img src=x onerror=alert(1)>';
const NOTE = 'a run from the top would treat [3], [7] differently';

function listing<T>(items: T[], extra: Partial<IListing<T>> = {}): IListing<T> {
  return {
    items,
    hasMore: false,
    isLoading: false,
    isLoaded: true,
    problem: null,
    reload: vi.fn(() => Promise.resolve()),
    loadMore: vi.fn(() => Promise.resolve()),
    ...extra
  };
}

function showModels(extra: Partial<Parameters<typeof ModelsView>[0]> = {}) {
  const props = {
    models: listing([model('credit')]),
    endpoints: [],
    versions: () => null as IListing<IModelVersion> | null,
    search: '',
    onSearch: vi.fn(),
    onToggle: vi.fn(),
    onOpenModel: vi.fn(),
    onDeploy: vi.fn(),
    onOpenVersion: vi.fn(),
    onSetAlias: vi.fn(),
    ...extra
  };
  return { props, ...render(<ModelsView {...props} />) };
}

describe('ModelsView', () => {
  it('shows every name as text, whatever is in it', () => {
    const hostile = {
      ...version(1, [HOSTILE]),
      source: HOSTILE,
      metrics: { [HOSTILE]: 1 }
    };
    const { container } = showModels({
      models: listing([{ ...model(HOSTILE), description: HOSTILE }]),
      versions: () => listing([hostile])
    });
    expect(screen.getByRole('button', { name: `${HOSTILE} v3` })).toBeDefined();
    expect(screen.getAllByText(HOSTILE)).toHaveLength(4);
    expect(container.querySelector('img')).toBeNull();
  });

  it('toggles a model, and says whether it is open', () => {
    const { props, rerender } = showModels();
    const row = screen.getByRole('button', { name: /^credit/ });
    expect(row.getAttribute('aria-expanded')).toBe('false');
    expect(row.textContent).toContain('champion v2');
    fireEvent.click(row);
    expect(props.onToggle).toHaveBeenCalledExactlyOnceWith('credit');
    rerender(<ModelsView {...props} versions={() => listing([version(3)])} />);
    expect(row.getAttribute('aria-expanded')).toBe('true');
    const controlled = document.getElementById(row.getAttribute('aria-controls') ?? '');
    expect(controlled?.textContent).toContain('Version 3');
  });

  it('shows a version: aliases, three metrics and the rest on request, source', () => {
    showModels({ versions: () => listing([version(2, ['champion'])]) });
    const list = screen.getByRole('list', { name: 'Versions of credit' });
    const item = within(list).getByRole('listitem');
    for (const text of ['Version 2', 'champion', '0.8312', '0.7', 'NaN']) {
      expect(within(item).getByText(text)).toBeDefined();
    }
    expect(within(item).getByText('notebooks/quickstart.ipynb')).toBeDefined();
    expect(within(item).queryByText('zeta')).toBeNull();
    fireEvent.click(within(item).getByRole('button', { name: '1 more metric' }));
    expect(within(item).getByText('zeta')).toBeDefined();
  });

  it('marks a version whose run was out of order, and no other', () => {
    const odd = { ...version(2, ['champion']), order_note: NOTE };
    showModels({ versions: () => listing([version(3), odd]) });
    const badge = screen.getByTitle(NOTE);
    expect(badge.textContent).toBe(`out of order: ${NOTE}`);
    expect(badge.closest('li')?.textContent).toContain('Version 2');
    expect(screen.getAllByText('out of order')).toHaveLength(1);
  });

  it('opens, deploys and aliases the version whose buttons were pressed', () => {
    const { props } = showModels({ versions: () => listing([version(3), version(2)]) });
    fireEvent.click(screen.getByRole('button', { name: 'Deploy credit version 2' }));
    expect(props.onDeploy).toHaveBeenCalledExactlyOnceWith(version(2));
    fireEvent.click(screen.getByRole('button', { name: 'Open credit version 2' }));
    expect(props.onOpenVersion).toHaveBeenCalledExactlyOnceWith(version(2));
    fireEvent.click(
      screen.getByRole('button', { name: 'Set alias of credit version 3' })
    );
    expect(props.onSetAlias).toHaveBeenCalledExactlyOnceWith(version(3));
  });

  it('searches once, when typing has stopped', () => {
    vi.useFakeTimers();
    const { props } = showModels();
    const box = screen.getByRole('searchbox', { name: 'Search registered models' });
    for (const value of ['c', 'cr', 'cre']) {
      fireEvent.change(box, { target: { value } });
      vi.advanceTimersByTime(100);
    }
    expect(props.onSearch).not.toHaveBeenCalled();
    vi.advanceTimersByTime(300);
    expect(props.onSearch).toHaveBeenCalledExactlyOnceWith('cre');
    vi.useRealTimers();
  });

  it('says what to do when there is nothing', () => {
    const { rerender, props } = showModels({ models: listing([]) });
    expect(screen.getByText(/Fit a model in a %%track cell/)).toBeDefined();
    rerender(<ModelsView {...props} search="zz" />);
    expect(screen.getByText(/No registered model has “zz”/)).toBeDefined();
  });

  it('loads more versions on request, once at a time', () => {
    const versions = listing([version(3)], { hasMore: true });
    const { rerender, props } = showModels({ versions: () => versions });
    fireEvent.click(screen.getByRole('button', { name: 'Load more' }));
    expect(versions.loadMore).toHaveBeenCalledOnce();
    const loading = { ...versions, isLoading: true };
    rerender(<ModelsView {...props} versions={() => loading} />);
    fireEvent.click(screen.getByRole('button', { name: 'Loading…' }));
    expect(versions.loadMore).toHaveBeenCalledOnce();
  });

  it('reads the next models when the end comes into view, and not before', () => {
    const few = listing([model('credit')], { hasMore: true });
    showModels({ models: few });
    expect(few.loadMore).toHaveBeenCalledOnce();
    const names = Array.from({ length: 1000 }, (_, n) => `model-${n}`);
    const many = listing(names.map(model), { hasMore: true });
    const { container } = showModels({ models: many });
    expect(many.loadMore).not.toHaveBeenCalled();
    const rows = container.querySelectorAll('li');
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.length).toBeLessThan(60);
    expect(rows[2]?.getAttribute('aria-posinset')).toBe('3');
    expect(rows[2]?.getAttribute('aria-setsize')).toBe('1000');
  });

  it('shows the tags of a model and the state of its endpoints, and opens it', () => {
    const tags = { team: HOSTILE, urgent: '', 'mlflow.note': 'hidden' };
    const { props } = showModels({
      models: listing([{ ...model('credit'), tags }, model('churn')]),
      endpoints: [endpoint({ state: 'dead' })]
    });
    const [credit, churn] = screen.getAllByRole('listitem');
    for (const text of [`team: ${HOSTILE}`, 'urgent', 'Dead']) {
      expect(credit?.textContent).toContain(text);
      expect(churn?.textContent).not.toContain(text);
    }
    expect(credit?.textContent).not.toContain('hidden');
    fireEvent.click(screen.getByRole('button', { name: 'Open model churn' }));
    expect(props.onOpenModel).toHaveBeenCalledExactlyOnceWith(model('churn'));
  });

  it('shows what is wrong next to what was read, and tries again', () => {
    const problem = { problem: 'Away.', fix: 'Start it.', isMissingExtension: false };
    const models = listing([model('credit')], { problem });
    showModels({ models });
    expect(screen.getByRole('alert').textContent).toContain('Away.Start it.');
    expect(screen.getByRole('button', { name: /^credit/ })).toBeDefined();
    fireEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect(models.reload).toHaveBeenCalledOnce();
  });
});

describe('RunDetails', () => {
  it('leads to the page of a tracking server, where there is one', () => {
    const { rerender } = render(<RunDetails run={run} />);
    expect(screen.queryByRole('link')).toBeNull();
    const url = 'http://mlflow:5000/#/experiments/1/runs/a';
    rerender(<RunDetails run={{ ...run, url }} />);
    const link = screen.getByRole('link', { name: 'Open in MLflow' });
    expect(link.getAttribute('href')).toBe(url);
  });

  it('shows what the user named and set, and folds the defaults', () => {
    const params = { seed: '7', model__C: '3.0', model__tol: '0.0001' };
    const autologged = {
      ...run.autologged,
      changed: { model__C: 'C' },
      default: ['model__tol']
    };
    render(<RunDetails run={{ ...run, params, autologged }} />);
    const shown = (name: string) =>
      screen.getByRole('region', { name, hidden: true }).textContent;
    expect(shown('Params')).toBe('Paramsseed7');
    expect(shown('Params set in the code')).toBe('Params set in the codeC3.0');
    const folded = screen.getByText('1 default of the estimator').closest('details');
    expect(folded?.open).toBe(false);
    expect(folded?.textContent).toContain('model__tol');
  });
});

describe('EndpointsView', () => {
  const show = (...endpoints: ReturnType<typeof endpoint>[]) => {
    const props = { onOpen: vi.fn(), onPredict: vi.fn(), onStop: vi.fn() };
    render(<EndpointsView endpoints={listing(endpoints)} {...props} />);
    return props;
  };

  it('says each state in words', () => {
    show(
      endpoint({ name: 'a', state: 'ready' }),
      endpoint({ name: 'b', state: 'starting' }),
      endpoint({ name: 'c', state: 'unresponsive' }),
      endpoint({ name: 'd', state: 'dead', message: 'Its process is gone.' })
    );
    for (const text of ['Ready', 'Starting', 'Not answering', 'Dead']) {
      expect(screen.getByText(text).querySelector('svg')).not.toBeNull();
    }
    expect(screen.getByText('Its process is gone.')).toBeDefined();
    const dead = screen.getByRole('button', { name: 'Predict with endpoint d' });
    expect(dead).toHaveProperty('disabled', true);
  });

  it('opens, copies the URL, predicts and stops', () => {
    const copy = vi.spyOn(Clipboard, 'copyToSystem').mockReturnValue();
    const one = endpoint();
    const props = show(one);
    fireEvent.click(screen.getByRole('button', { name: `Copy URL ${one.url}` }));
    expect(copy).toHaveBeenCalledExactlyOnceWith(one.url);
    expect(screen.getByRole('button', { name: 'Copied' })).toBeDefined();
    fireEvent.click(screen.getByRole('button', { name: 'Open endpoint credit' }));
    expect(props.onOpen).toHaveBeenCalledExactlyOnceWith(one);
    fireEvent.click(
      screen.getByRole('button', { name: 'Predict with endpoint credit' })
    );
    expect(props.onPredict).toHaveBeenCalledExactlyOnceWith(one);
    fireEvent.click(screen.getByRole('button', { name: 'Stop endpoint credit' }));
    expect(props.onStop).toHaveBeenCalledExactlyOnceWith(one);
  });

  it('says what to do when nothing is deployed', () => {
    show();
    expect(screen.getByText(/deploy one of its versions/)).toBeDefined();
  });
});

describe('PredictForm', () => {
  const explain = (error: unknown): IProblem => ({
    problem: (error as Error).message,
    fix: '',
    isMissingExtension: false
  });
  const show = (
    onPredict: (payload: string) => Promise<unknown>,
    example = endpoint().example
  ) =>
    render(<PredictForm example={example} onPredict={onPredict} explain={explain} />);
  const predict = () =>
    fireEvent.click(screen.getByRole('button', { name: 'Predict' }));

  it('sends the example row as MLflow has it, and shows the answer', async () => {
    const onPredict = vi.fn<(payload: string) => Promise<unknown>>(() =>
      Promise.resolve({ predictions: [HOSTILE, 2] })
    );
    const { container } = show(onPredict);
    predict();
    const answer = await screen.findByRole('status');
    expect(answer.textContent).toBe(`${HOSTILE}\n2`);
    expect(container.querySelector('img')).toBeNull();
    expect(JSON.parse(onPredict.mock.calls[0]?.[0] ?? '')).toEqual({
      dataframe_split: { columns: ['Age', 'Job'], data: [[30, 'fixed']] }
    });
  });

  it('refuses what is not JSON without asking the endpoint', async () => {
    const onPredict = vi.fn(() => Promise.resolve({}));
    show(onPredict);
    const box = screen.getByRole('textbox', { name: 'Row to predict' });
    fireEvent.change(box, { target: { value: '{oops' } });
    predict();
    expect((await screen.findByRole('alert')).textContent).toContain('not JSON');
    expect(onPredict).not.toHaveBeenCalled();
  });

  it('shows what the endpoint objects to', async () => {
    show(() => Promise.reject(new Error("Column 'Age' is missing.")));
    predict();
    expect((await screen.findByRole('alert')).textContent).toContain("Column 'Age'");
  });

  it('offers an empty frame when there is no example', () => {
    show(vi.fn(), null);
    const box = screen.getByRole('textbox', { name: 'Row to predict' });
    expect(JSON.parse((box as HTMLTextAreaElement).value)).toEqual({
      dataframe_split: { columns: [], data: [[]] }
    });
  });
});

describe('ProblemNotice', () => {
  it('says how to install a missing server extension', () => {
    const problem = { problem: '404', fix: '', isMissingExtension: true };
    render(<ProblemNotice problem={problem} />);
    const { textContent } = screen.getByRole('alert');
    expect(textContent).toContain('pip install nbmlops');
    expect(textContent).toContain('jupyter server extension enable nbmlops');
    expect(textContent).toContain('restart');
  });
});

it.each([
  [0.831234, '0.8312'],
  [12, '12'],
  [1234567, '1234567'],
  [0.00001234567, '0.00001235'],
  ['NaN', 'NaN']
] as const)('writes the metric %s as %s', (value, text) => {
  expect(formatMetric(value)).toBe(text);
});
