/** The wire has one description: what pytest wrote is what is read here. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import {
  endpoint,
  liveRun,
  model,
  page,
  pipeline,
  project,
  run,
  stepForm,
  version
} from './wire';

const FOLDER = join(__dirname, '../../tests/server/samples');
const { example, ...plain } = endpoint();

const NOUNS: Record<string, object> = {
  'project.json': project('here'),
  'model.json': model('credit'),
  'models.json': page([model('credit')]),
  'version.json': version(1),
  'versions.json': page([version(1)]),
  'run.json': run,
  'runs.json': page([run]),
  'endpoint.json': { ...plain, example },
  'endpoints.json': page([plain]),
  'live_run.json': liveRun({}, {}),
  'pipeline.json': pipeline(),
  'step_form.json': stepForm(),
  'error.json': { error: '', message: '', fix: '' }
};

/** Fail where a sample lacks a field that is read, or has it with another type. */
function compare(sample: unknown, noun: unknown, at: string): void {
  if (sample === null || noun === null) {
    return;
  }
  expect(typeof sample, at).toBe(typeof noun);
  if (Array.isArray(noun)) {
    expect(Array.isArray(sample), at).toBe(true);
    (sample as unknown[]).forEach((item, n) =>
      compare(item, noun[0] ?? item, `${at}[${n}]`)
    );
  } else if (
    typeof noun === 'object' &&
    !/(metrics|params|aliases|example)$/.test(at)
  ) {
    for (const [name, value] of Object.entries(noun)) {
      expect(sample, at).toHaveProperty(name);
      compare((sample as Record<string, unknown>)[name], value, `${at}.${name}`);
    }
  }
}

it.each(readdirSync(FOLDER).filter(name => name in NOUNS))(
  '%s is as it is read',
  name => {
    const sample: unknown = JSON.parse(readFileSync(join(FOLDER, name), 'utf8'));
    compare(sample, NOUNS[name], name);
  }
);

it('knows the samples of the nouns', () => {
  expect(readdirSync(FOLDER)).toEqual(
    expect.arrayContaining([
      'project.json',
      'models.json',
      'versions.json',
      'runs.json'
    ])
  );
});
