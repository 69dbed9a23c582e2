import { Clipboard } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { EndpointView } from '../src/components/endpoint/endpoint-view';
import { formatNumber, toSeries } from '../src/components/endpoint/series';
import { toCurl, toPython } from '../src/components/endpoint/snippets';
import { Sparkline } from '../src/components/endpoint/sparkline';
import { fromTexts } from '../src/components/payload';
import { EndpointModel } from '../src/endpoint';
import {
  asked,
  endpoint,
  failure,
  lines,
  metrics,
  page,
  serve,
  settings,
  version,
  versionMetrics
} from './wire';

vi.mock('../src/request', async original => ({
  ...(await original()),
  request: vi.fn(),
  listen: vi.fn()
}));

const trans = nullTranslator.load('nbmlops');
const HOSTILE = '<img src=x onerror=alert(1)>';
const RULES = { error_share: 0.05, min_requests: 100 };
const CANARY = { canary_version: 4, canary_share: 0.25 };
const TOKEN = '/home/ada/study/.nbmlops/endpoints/credit/token';

const answers = {
  'GET endpoints/credit': endpoint(),
  'GET endpoints/credit/metrics': metrics(versionMetrics()),
  'GET models/credit/versions': page([version(4), version(3)])
};

function show(extra: Partial<Parameters<typeof EndpointView>[0]> = {}) {
  const props = {
    name: 'credit',
    endpoint: endpoint(),
    history: [metrics(versionMetrics())],
    nReadings: 60,
    versions: [version(4), version(3)],
    action: null,
    message: '',
    problem: null,
    readProblem: null,
    log: null,
    onLog: vi.fn(),
    onRetry: vi.fn(),
    onCanary: vi.fn(),
    onPromote: vi.fn(),
    onAbort: vi.fn(),
    onRollBack: vi.fn(),
    onStop: vi.fn(),
    onPredict: vi.fn(() => Promise.resolve({ predictions: ['good'] })),
    explain: (error: unknown) => ({ problem: String(error), fix: '' }),
    ...extra
  };
  return { props, ...render(<EndpointView {...props} />) };
}

const button = (name: string) =>
  screen.getByRole<HTMLButtonElement>('button', { name });

describe('EndpointModel', () => {
  const create = () =>
    new EndpointModel({ serverSettings: settings, path: 'a', name: 'credit', trans });

  afterEach(() => {
    vi.useRealTimers();
  });

  it('reads once a second while it shows, the state less often, and then no more', async () => {
    vi.useFakeTimers();
    serve(answers);
    const model = create();
    await vi.advanceTimersByTimeAsync(2000);
    expect(lines()).toEqual([]);
    model.resume();
    await vi.advanceTimersByTimeAsync(2900);
    const n_read = (line: string) => lines().filter(each => each === line).length;
    expect(n_read('GET endpoints/credit/metrics')).toBe(3);
    expect(n_read('GET endpoints/credit')).toBe(1);
    expect(n_read('GET models/credit/versions')).toBe(1);
    expect(model.history).toHaveLength(3);
    expect(model.versions.map(each => each.version)).toEqual([4, 3]);
    model.pause();
    const n_asked = asked.length;
    await vi.advanceTimersByTimeAsync(5000);
    expect(asked.length).toBe(n_asked);
    model.dispose();
  });

  it('reads the log while that is shown', async () => {
    vi.useFakeTimers();
    serve({ ...answers, 'GET endpoints/credit/log': { lines: ['a', 'b'] } });
    const model = create();
    model.resume();
    await vi.advanceTimersByTimeAsync(100);
    expect(lines()).not.toContain('GET endpoints/credit/log');
    await model.showLog(true);
    expect(model.log).toEqual(['a', 'b']);
    await vi.advanceTimersByTimeAsync(3000);
    const n_read = () =>
      lines().filter(each => each === 'GET endpoints/credit/log').length;
    expect(n_read()).toBe(2);
    await model.showLog(false);
    expect(model.log).toBeNull();
    await vi.advanceTimersByTimeAsync(6000);
    expect(n_read()).toBe(2);
    model.dispose();
  });

  it('keeps no more than a minute of readings', async () => {
    vi.useFakeTimers();
    serve(answers);
    const model = create();
    model.resume();
    await vi.advanceTimersByTimeAsync(90_000);
    expect(model.history).toHaveLength(model.nReadings);
    model.dispose();
  });

  it('leaves a gap for the time in which it was hidden', async () => {
    vi.useFakeTimers();
    serve(answers);
    const model = create();
    model.resume();
    await vi.advanceTimersByTimeAsync(1500);
    model.pause();
    await vi.advanceTimersByTimeAsync(5000);
    model.resume();
    await vi.advanceTimersByTimeAsync(100);
    expect(toSeries(model.history, 3).requests).toEqual([
      ...[41.53, 41.53],
      ...Array<null>(5).fill(null),
      41.53
    ]);
    model.dispose();
  });

  it('says what was done, and what the server objects to', async () => {
    serve({
      ...answers,
      'PUT endpoints/credit/canary': endpoint(CANARY),
      'POST endpoints/credit/promote': endpoint({ version: 4 }),
      'POST endpoints/credit/rollback': endpoint(),
      'POST endpoints/credit/abort': () => {
        throw failure(400, 'UsageError', 'There is no canary.', 'Begin one.');
      },
      'DELETE endpoints/credit': undefined
    });
    const model = create();
    const rules = { error_share: 0.01 };
    await model.setCanary(4, 0.25, rules);
    expect(asked.at(-1)?.init.body).toEqual({ version: 4, share: 0.25, rules });
    expect(model.message).toBe('Version 4 answers 25% of the requests.');
    expect(model.endpoint?.canary_share).toBe(0.25);
    await model.promote();
    expect(model.message).toBe('Version 4 answers all requests now.');
    await model.rollBack();
    expect(model.message).toBe('Rolled back to version 3.');
    await model.abort();
    expect(model.message).toBe('');
    expect(model.problem).toMatchObject({
      problem: 'There is no canary.',
      fix: 'Begin one.'
    });
    await model.stop();
    expect(model.problem).toBeNull();
    expect(model.endpoint).toBeNull();
    expect(model.message).toBe('Endpoint credit was stopped.');
    model.dispose();
  });

  it('does one thing at a time', async () => {
    serve({ ...answers, 'POST endpoints/credit/promote': endpoint({ version: 4 }) });
    const model = create();
    await Promise.all([model.promote(), model.promote(), model.rollBack()]);
    expect(lines()).toEqual(['POST endpoints/credit/promote']);
    model.dispose();
  });

  it('says why it cannot be read, and can do without the store', async () => {
    serve({ 'GET endpoints/credit': endpoint() });
    const model = create();
    await model.refresh();
    expect(model.endpoint?.name).toBe('credit');
    expect(model.readProblem).toBeNull();
    serve({
      'GET endpoints/credit': () => {
        throw failure(404, 'NotFoundError', "No endpoint 'credit'.", 'See the list.');
      }
    });
    await model.refresh();
    expect(model.endpoint).toBeNull();
    expect(model.readProblem?.problem).toBe("No endpoint 'credit'.");
    model.dispose();
  });
});

describe('EndpointView', () => {
  it('shows each version with its share and numbers', () => {
    show({
      endpoint: endpoint(CANARY),
      history: [
        metrics(
          versionMetrics({ share: 0.75 }),
          versionMetrics({
            version: 4,
            role: 'canary',
            share: 0.25,
            n_errors: 2,
            latency_ms_p50: null
          })
        )
      ]
    });
    const table = screen.getByRole('table', { name: /^Versions/ });
    const [, champion, canary] = within(table).getAllByRole('row');
    expect(champion?.textContent).toBe('3 champion75%41.50.7122.20120');
    expect(canary?.textContent).toBe('4 canary25%41.5–2.22120');
    expect(table.querySelectorAll('svg')).toHaveLength(8);
  });

  it('shows what was read last while nothing is read', () => {
    show({ history: [metrics(versionMetrics()), metrics()] });
    expect(screen.getByRole('rowheader', { name: '3 champion' })).toBeDefined();
  });

  it('shows all that it is given as text', () => {
    const hostile = endpoint({ name: HOSTILE, alias: HOSTILE, message: HOSTILE });
    const problem = { problem: HOSTILE, fix: HOSTILE };
    const { container } = show({ endpoint: hostile, problem });
    expect(screen.getAllByText(HOSTILE)).toHaveLength(5);
    expect(container.querySelector('img')).toBeNull();
  });

  it('begins a canary with the newest other version, and the share of the slider', () => {
    const { props } = show();
    const choice = screen.getByRole<HTMLSelectElement>('combobox', { name: 'Canary' });
    expect(within(choice).getAllByRole('option')).toHaveLength(1);
    const slider = screen.getByRole('slider', { name: 'Share of the requests' });
    fireEvent.change(slider, { target: { value: '25' } });
    fireEvent.click(button('Start canary'));
    expect(props.onCanary).toHaveBeenCalledExactlyOnceWith(4, 0.25, RULES);
    expect(button('Promote').disabled).toBe(true);
    expect(button('Abort canary').disabled).toBe(true);
    expect(button('Roll back').disabled).toBe(true);
  });

  it('changes the share of a canary, promotes and ends it', () => {
    const { props } = show({ endpoint: endpoint({ ...CANARY, previous_version: 2 }) });
    const slider = screen.getByRole<HTMLInputElement>('slider');
    expect(slider.value).toBe('25');
    fireEvent.change(slider, { target: { value: '50' } });
    fireEvent.click(button('Change canary'));
    expect(props.onCanary).toHaveBeenCalledExactlyOnceWith(4, 0.5, RULES);
    fireEvent.click(button('Promote version 4'));
    expect(props.onPromote).toHaveBeenCalledOnce();
    fireEvent.click(button('Abort canary'));
    expect(props.onAbort).toHaveBeenCalledOnce();
    expect(button('Roll back to version 2').disabled).toBe(true);
  });

  it('sends the rules that are typed, and none of an empty field', () => {
    const { props, rerender } = show();
    const field = (name: string) =>
      screen.getByRole<HTMLInputElement>('spinbutton', { name });
    expect(field('Share of errors above').value).toBe('0.05');
    expect(field('From this many requests').value).toBe('100');
    expect(field('p99 above, ms').value).toBe('');
    fireEvent.change(field('Share of errors above'), { target: { value: '' } });
    fireEvent.change(field('p99 above, ms'), { target: { value: '250' } });
    fireEvent.change(field('Shift of predictions above'), { target: { value: '0.2' } });
    fireEvent.click(button('Start canary'));
    const rules = { latency_ms_p99: 250, prediction_shift: 0.2, min_requests: 100 };
    expect(props.onCanary).toHaveBeenCalledExactlyOnceWith(4, 0.1, rules);
    const begun = endpoint({ ...CANARY, canary_rules: { error_share: 0.5 } });
    rerender(<EndpointView {...props} endpoint={begun} />);
    expect(field('Share of errors above').value).toBe('0.5');
    expect(field('p99 above, ms').value).toBe('');
  });

  it('keeps the share that was chosen until the canary has it', () => {
    const { props, rerender } = show();
    const slider = screen.getByRole<HTMLInputElement>('slider');
    fireEvent.change(slider, { target: { value: '30' } });
    fireEvent.click(button('Start canary'));
    rerender(<EndpointView {...props} action="canary" />);
    expect(slider.value).toBe('30');
    rerender(<EndpointView {...props} endpoint={endpoint(CANARY)} />);
    expect(slider.value).toBe('25');
  });

  it('shows the end of the log', () => {
    const { props, rerender } = show();
    const details = screen.getByText('Log').closest('details') as HTMLDetailsElement;
    details.open = true;
    fireEvent(details, new Event('toggle'));
    expect(props.onLog).toHaveBeenLastCalledWith(true);
    rerender(<EndpointView {...props} log={[HOSTILE, 'b']} />);
    expect(screen.getByText(/onerror/).textContent).toBe(`${HOSTILE}\nb`);
  });

  it('rolls back and stops, and nothing while something is done', () => {
    const { props, rerender } = show({ endpoint: endpoint({ previous_version: 2 }) });
    fireEvent.click(button('Roll back to version 2'));
    expect(props.onRollBack).toHaveBeenCalledOnce();
    fireEvent.click(button('Stop endpoint…'));
    expect(props.onStop).toHaveBeenCalledOnce();
    rerender(<EndpointView {...props} action="rollback" />);
    expect(button('Rolling back…').disabled).toBe(true);
    expect(button('Stop endpoint…').disabled).toBe(true);
  });

  it('says what to do where there is no other version', () => {
    show({ versions: [version(3)] });
    expect(screen.queryByRole('slider')).toBeNull();
    expect(screen.getByText(/Register another version of credit/)).toBeDefined();
  });

  it('copies code that reads the token, which is not in the page', () => {
    const copy = vi.spyOn(Clipboard, 'copyToSystem').mockReturnValue();
    show();
    fireEvent.click(button('Copy as curl'));
    expect(copy).toHaveBeenLastCalledWith(toCurl(endpoint()));
    expect(screen.getByText('Copied')).toBeDefined();
    fireEvent.click(button('Copy as Python'));
    expect(copy).toHaveBeenLastCalledWith(toPython(endpoint()));
  });

  it('sends a row of the form as it is typed', async () => {
    const onPredict = vi.fn<(payload: string) => Promise<unknown>>(() =>
      Promise.resolve({ predictions: ['good'] })
    );
    show({ onPredict });
    fireEvent.change(screen.getByRole('textbox', { name: 'Age long' }), {
      target: { value: '9007199254740993' }
    });
    fireEvent.click(button('Predict'));
    await screen.findByText('good');
    expect(onPredict.mock.calls[0]).toEqual([
      '{"dataframe_split": {\n  "columns": ["Age", "Job"],\n' +
        '  "data": [[9007199254740993, "fixed"]]\n}}'
    ]);
    fireEvent.click(button('Edit as JSON'));
    const box = screen.getByRole<HTMLTextAreaElement>('textbox', {
      name: 'Row to predict'
    });
    expect(box.value).toContain('9007199254740993');
  });

  it('takes JSON where the columns make no form', () => {
    show({ endpoint: endpoint({ example: null }) });
    expect(screen.getByRole('textbox', { name: 'Row to predict' })).toBeDefined();
    expect(screen.queryByRole('button', { name: 'Edit as a form' })).toBeNull();
  });

  it('says that it reads, and tries again', async () => {
    const { props, rerender } = show({ endpoint: null });
    expect(screen.getByRole('status').textContent).toBe('Reading endpoint credit…');
    const readProblem = { problem: 'Away.', fix: 'Start it.' };
    rerender(<EndpointView {...props} readProblem={readProblem} />);
    fireEvent.click(await screen.findByRole('button', { name: 'Try again' }));
    await waitFor(() => expect(props.onRetry).toHaveBeenCalledOnce());
  });
});

describe('what is copied', () => {
  it('quotes for the shell', () => {
    const path = "/home/ada's/token";
    const text = toCurl(
      endpoint({ token_path: path, example: { columns: ['a'], data: [["it's"]] } })
    );
    expect(text).toBe(
      [
        "curl -s 'http://127.0.0.1:43210/endpoints/credit/invocations'",
        `-H "Authorization: Bearer $(cat '/home/ada'\\''s/token')"`,
        "-H 'Content-Type: application/json'",
        `-d '{"dataframe_split":{"columns":["a"],"data":[["it'\\''s"]]}}'`
      ].join(' \\\n  ')
    );
  });

  it('writes Python, not JSON', () => {
    const example = { columns: ['a', 'b'], data: [[null, true]] };
    const text = toPython(endpoint({ example }));
    expect(text).toContain(
      'json={"dataframe_split": {"columns": ["a", "b"], "data": [[None, True]]}}'
    );
    expect(text).toContain(`Path("${TOKEN}").read_text()`);
  });

  it('asks for no token where there is none', () => {
    const open = endpoint({ token_path: null });
    expect(toCurl(open)).not.toContain('Authorization');
    expect(toPython(open)).not.toContain('token');
  });
});

describe('Sparkline', () => {
  const points = (values: (number | null)[]) =>
    [
      ...render(<Sparkline values={values} n={3} />).container.querySelectorAll(
        'polyline'
      )
    ].map(line => line.getAttribute('points'));

  it('goes from zero to the largest value, the newest at the end', () => {
    expect(points([0, 5, 10])).toEqual(['2,20 48,11 94,2']);
    expect(points([10])).toEqual(['93,2 94,2']);
  });

  it('has a gap where there is no value, and lies at the bottom for zeros', () => {
    expect(points([1, null, 1])).toEqual(['1,2 2,2', '93,2 94,2']);
    expect(points([0, 0])).toEqual(['48,20 94,20']);
    expect(points([])).toEqual([]);
  });
});

it('follows a version through its roles, and counts new errors only', () => {
  const history = [
    metrics(versionMetrics({ version: 4, role: 'canary', n_errors: 3 })),
    metrics(versionMetrics({ version: 4, role: 'canary', n_errors: 5 })),
    metrics(versionMetrics({ version: 4, n_errors: 1, requests_per_s: 0 })),
    metrics(versionMetrics({ version: 3 }))
  ];
  expect(toSeries(history, 4)).toEqual({
    requests: [41.53, 41.53, 0, null],
    p50: [0.7123, 0.7123, null, null],
    p99: [2.2, 2.2, null, null],
    errors: [null, 2, 0, null]
  });
});

it.each([
  [0, '0'],
  [0.71234, '0.712'],
  [41.53, '41.5'],
  [1234.5, '1235'],
  [null, '–']
])('writes %s as %s', (value, text) => {
  expect(formatNumber(value)).toBe(text);
});

it.each([
  ['long', '7', '7'],
  ['double', '-1.5e3', '-1.5e3'],
  ['double', '07', '"07"'],
  ['double', '', 'null'],
  ['boolean', 'true', 'true'],
  ['string', '7', '"7"']
])('sends of a %s the text %s as %s', (type, text, value) => {
  const column = { name: 'a', type, is_required: true };
  expect(fromTexts([column], [text])).toContain(`"data": [[${value}]]`);
});
