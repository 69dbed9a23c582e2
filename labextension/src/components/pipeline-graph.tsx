import type { TranslationBundle } from '@jupyterlab/translation';
import type { KeyboardEvent } from 'react';

import type { IPipelineStep } from '../tokens';
import { CellBar, Elapsed, LiveStateMark } from './live-state';
import type { IShownStep } from './pipeline-state';

const BOX = { width: 210, height: 88 };
const GAP = { x: 56, y: 24 };
const MARGIN = 12;

/** The steps of a pipeline in columns, each behind those it needs. */
export function PipelineGraph(props: {
  name: string;
  steps: readonly IShownStep[];
  selected: string | null;
  onSelect: (step: string) => void;
  onOpen: (step: IPipelineStep) => void;
  trans: TranslationBundle;
}) {
  const { name, steps, selected, onSelect, onOpen, trans } = props;
  const at = new Map(steps.map(({ step }) => [step.name, place(step)]));
  const width = Math.max(...[...at.values()].map(({ x }) => x)) + BOX.width + MARGIN;
  const height = Math.max(...[...at.values()].map(({ y }) => y)) + BOX.height + MARGIN;
  const links = steps.flatMap(({ step }) =>
    step.needs.map(need => ({ key: `${need} ${step.name}`, need, step }))
  );
  return (
    <div className="nbmlops-Graph" style={{ width, height }}>
      <svg width={width} height={height} aria-hidden="true">
        {links.map(({ key, need, step }) => (
          <path key={key} d={line(at.get(need), at.get(step.name))} />
        ))}
      </svg>
      <ol aria-label={trans.__('Steps of %1', name)} onKeyDown={moveFocus}>
        {steps.map(shown => (
          <li key={shown.step.name} style={toStyle(shown.step)}>
            <StepBox
              shown={shown}
              isSelected={shown.step.name === selected}
              onSelect={() => onSelect(shown.step.name)}
              onOpen={() => onOpen(shown.step)}
              trans={trans}
            />
          </li>
        ))}
      </ol>
    </div>
  );
}

function StepBox(props: {
  shown: IShownStep;
  isSelected: boolean;
  onSelect: () => void;
  onOpen: () => void;
  trans: TranslationBundle;
}) {
  const { shown, isSelected, onSelect, onOpen, trans } = props;
  const { step, state, units, why } = shown;
  const running = units.filter(unit => unit.state === 'running');
  const [first] = running;
  const n_done = units.filter(({ state: s }) => s === 'done' || s === 'cached').length;
  return (
    <button
      type="button"
      className="nbmlops-StepBox"
      data-state={state}
      aria-pressed={isSelected}
      title={[step.does, why].filter(Boolean).join('\n')}
      onClick={onSelect}
      onDoubleClick={onOpen}
    >
      <span className="nbmlops-StepBox-line">
        <span className="nbmlops-Row-name">{step.name}</span>
        {step.n_runs > 1 && (
          <span className="nbmlops-Row-hint">
            {n_done > 0 || running.length > 0
              ? trans.__('%1 of %2 runs', n_done, step.n_runs)
              : trans.__('%1 runs', step.n_runs)}
          </span>
        )}
      </span>
      <span className="nbmlops-StepBox-does">{step.does}</span>
      <span className="nbmlops-StepBox-line">
        <LiveStateMark state={state} trans={trans} />
        {shown.duration_s > 0 && (
          <Elapsed
            duration_s={shown.duration_s}
            expected_s={first?.expected_s ?? null}
            isRunning={state === 'running'}
            trans={trans}
          />
        )}
      </span>
      {first?.cells ? (
        <CellBar
          cells={first.cells}
          label={trans.__('Progress of %1', step.name)}
          trans={trans}
        />
      ) : (
        <span className="nbmlops-StepBox-why">{why}</span>
      )}
    </button>
  );
}

function place({ column, row }: IPipelineStep): { x: number; y: number } {
  return {
    x: MARGIN + column * (BOX.width + GAP.x),
    y: MARGIN + row * (BOX.height + GAP.y)
  };
}

function toStyle(step: IPipelineStep) {
  const { x, y } = place(step);
  return { left: x, top: y, ...BOX };
}

type Point = { x: number; y: number };

function line(from: Point = { x: 0, y: 0 }, to: Point = { x: 0, y: 0 }): string {
  const [x, y] = [from.x + BOX.width, from.y + BOX.height / 2];
  const [to_x, to_y] = [to.x - 2, to.y + BOX.height / 2];
  const bend = GAP.x / 2;
  return (
    `M${x},${y} C${x + bend},${y} ${to_x - bend},${to_y} ${to_x},${to_y} ` +
    `m-6,-5 l6,5 l-6,5`
  );
}

/** Arrow keys go from step to step, as Tab does. */
function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (by === undefined) {
    return;
  }
  const all = [...event.currentTarget.querySelectorAll('button')];
  const from = all.indexOf(document.activeElement as HTMLButtonElement);
  const to = all[from + by];
  if (from >= 0 && to) {
    event.preventDefault();
    to.focus();
  }
}
