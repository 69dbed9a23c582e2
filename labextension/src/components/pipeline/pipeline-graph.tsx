import type { KeyboardEvent } from 'react';

import type { IPipelineStep } from '../../tokens';
import { CellBar, Elapsed, LiveStateMark } from './live-state';
import type { IShownStep } from './pipeline-state';
import { useTrans } from '../trans';

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
}) {
  const { name, steps, selected, onSelect, onOpen } = props;
  const trans = useTrans();
  const positions = new Map(steps.map(({ step }) => [step.name, toPosition(step)]));
  const all = [...positions.values()];
  const width = Math.max(...all.map(({ left }) => left)) + BOX.width + MARGIN;
  const height = Math.max(...all.map(({ top }) => top)) + BOX.height + MARGIN;
  const links = steps.flatMap(({ step }) =>
    step.needs.map(need => ({ key: `${need} ${step.name}`, need, step }))
  );
  return (
    <div className="nbmlops-Graph" style={{ width, height }}>
      <svg width={width} height={height} aria-hidden="true">
        {links.map(({ key, need, step }) => (
          <path key={key} d={toLine(positions.get(need), positions.get(step.name))} />
        ))}
      </svg>
      <ol aria-label={trans.__('Steps of %1', name)} onKeyDown={moveFocus}>
        {steps.map(shown => (
          <li key={shown.step.name} style={{ ...toPosition(shown.step), ...BOX }}>
            <StepBox
              shown={shown}
              isSelected={shown.step.name === selected}
              onSelect={() => onSelect(shown.step.name)}
              onOpen={() => onOpen(shown.step)}
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
}) {
  const { shown, isSelected, onSelect, onOpen } = props;
  const trans = useTrans();
  const { step, state, runs, why } = shown;
  const running = runs.filter(run => run.state === 'running');
  const [first] = running;
  const n_done = runs.filter(({ state: s }) => s === 'done' || s === 'cached').length;
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
      <span className="nbmlops-Line">
        <span className="nbmlops-Name nbmlops-Ellipsis">{step.name}</span>
        {step.n_runs > 1 && (
          <span className="nbmlops-Fine nbmlops-mod-end">
            {n_done > 0 || running.length > 0
              ? trans.__('%1 of %2 runs', n_done, step.n_runs)
              : trans.__('%1 runs', step.n_runs)}
          </span>
        )}
      </span>
      <span className="nbmlops-Fine nbmlops-Ellipsis">{step.does}</span>
      <span className="nbmlops-Line">
        <LiveStateMark state={state} />
        <Elapsed
          duration_s={shown.duration_s}
          expected_s={first?.expected_s ?? null}
          isRunning={state === 'running'}
        />
      </span>
      {first?.cells ? (
        <CellBar cells={first.cells} label={trans.__('Progress of %1', step.name)} />
      ) : (
        <span className="nbmlops-Fine nbmlops-Ellipsis">{why}</span>
      )}
    </button>
  );
}

interface IPosition {
  left: number;
  top: number;
}

const ORIGIN: IPosition = { left: 0, top: 0 };

function toPosition({ column, row }: IPipelineStep): IPosition {
  return {
    left: MARGIN + column * (BOX.width + GAP.x),
    top: MARGIN + row * (BOX.height + GAP.y)
  };
}

/** Return the path of a curved arrow from one box to another. */
function toLine(from = ORIGIN, to = ORIGIN): string {
  const [x, y] = [from.left + BOX.width, from.top + BOX.height / 2];
  const [to_x, to_y] = [to.left - 2, to.top + BOX.height / 2];
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
