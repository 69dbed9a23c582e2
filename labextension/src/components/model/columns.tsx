import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactNode } from 'react';

import type { IEndpoint, IModelVersion } from '../../tokens';
import { EndpointState } from '../endpoint-state';
import { formatMetric } from '../metrics';
import { OrderBadge } from '../run-details';
import { Delta, toDelta } from './delta';

/** How many metrics are shown before any is chosen. */
const N_METRICS = 4;

export interface IColumn {
  id: string;
  label: string;
  isShown: boolean;
  isMetric?: boolean;
  /** What it is sorted by; nothing goes last, whichever way. */
  toValue: (version: IModelVersion) => string | number | null;
  render: (version: IModelVersion) => ReactNode;
}

/** Return the columns of the versions of a model, but for their number. */
export function toColumns(
  versions: readonly IModelVersion[],
  endpoints: readonly IEndpoint[],
  champion: IModelVersion | undefined,
  trans: TranslationBundle
): IColumn[] {
  const served = (version: IModelVersion) =>
    endpoints.filter(each =>
      [each.version, each.canary_version, each.shadow_version].includes(version.version)
    );
  const text = (
    id: string,
    label: string,
    toText: (version: IModelVersion) => string | null
  ): IColumn => ({
    id,
    label,
    isShown: true,
    toValue: version => toText(version) || null,
    render: version => <span title={toText(version) ?? ''}>{toText(version)}</span>
  });
  return [
    {
      id: 'aliases',
      label: trans.__('Aliases'),
      isShown: true,
      toValue: ({ aliases }) => aliases.join(' ') || null,
      render: ({ aliases }) =>
        aliases.map(alias => (
          <span key={alias} className="nbmlops-Chip">
            {alias}
          </span>
        ))
    },
    ...toMetricColumns(versions, champion),
    text('user', trans.__('Who'), ({ user }) => user),
    {
      id: 'created_at',
      label: trans.__('When'),
      isShown: true,
      toValue: ({ created_at }) => created_at,
      render: ({ created_at }) => (
        <time dateTime={created_at} title={Time.format(new Date(created_at))}>
          {Time.formatHuman(new Date(created_at))}
        </time>
      )
    },
    text('source', trans.__('Notebook'), ({ source }) => source),
    text('datasets', trans.__('Data'), ({ datasets }) =>
      datasets.map(({ name, digest }) => `${name} (${digest.slice(0, 8)})`).join(', ')
    ),
    {
      id: 'order',
      label: trans.__('Order'),
      isShown: true,
      toValue: ({ order_note }) => order_note,
      render: ({ order_note }) => <OrderBadge note={order_note} />
    },
    {
      id: 'endpoint',
      label: trans.__('Endpoint'),
      isShown: true,
      toValue: version =>
        served(version)
          .map(({ name }) => name)
          .join(' ') || null,
      render: version =>
        served(version).map(({ name, state }) => (
          <span key={name}>
            {name} <EndpointState state={state} />{' '}
          </span>
        ))
    },
    text('verdict', trans.__('Checks'), ({ verdict }) => verdict)
  ];
}

/** A column for each metric, those of the most versions first. */
function toMetricColumns(
  versions: readonly IModelVersion[],
  champion: IModelVersion | undefined
): IColumn[] {
  const counts = new Map<string, number>();
  for (const { metrics } of versions) {
    for (const name of Object.keys(metrics)) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return [...counts]
    .sort(([a, n_a], [b, n_b]) => n_b - n_a || a.localeCompare(b))
    .map(([name], index) => ({
      id: `metrics.${name}`,
      label: name,
      isShown: index < N_METRICS,
      isMetric: true,
      toValue: ({ metrics }) => {
        const value = Number(metrics[name] ?? NaN);
        return Number.isNaN(value) ? null : value;
      },
      render: ({ version, metrics, metric_modes }) => {
        const value = metrics[name];
        const best = champion?.metrics[name];
        if (value === undefined) {
          return null;
        }
        const mode = metric_modes[name] ?? null;
        const isOther = best !== undefined && version !== champion?.version;
        return (
          <>
            {formatMetric(value)}
            <Delta delta={isOther ? toDelta(value, best, mode) : null} />
          </>
        );
      }
    }));
}

/** Return versions in the order of a column. */
export function sorted(
  versions: readonly IModelVersion[],
  toValue: IColumn['toValue'],
  isDescending: boolean
): IModelVersion[] {
  const way = isDescending ? -1 : 1;
  return versions
    .map(version => ({ version, value: toValue(version) }))
    .sort(({ value: a }, { value: b }) => {
      if (a === null || b === null) {
        return Number(a === null) - Number(b === null);
      }
      return (
        way *
        (typeof a === 'number' && typeof b === 'number'
          ? Math.sign(a - b) || 0
          : String(a).localeCompare(String(b)))
      );
    })
    .map(({ version }) => version);
}
