const WIDTH = 96;
const HEIGHT = 22;
const EDGE = 2;

/** A curve from zero up to its largest value; a gap where there is no value. */
export function Sparkline(props: {
  values: readonly (number | null)[];
  /** How many values fill the width; fewer stand at its end. */
  n: number;
}) {
  const { values, n } = props;
  const known = values.filter(value => value !== null);
  const most = Math.max(...known, Number.MIN_VALUE);
  const place = (value: number, index: number, dx = 0) => {
    const x = ((n - values.length + index) / (n - 1)) * (WIDTH - 2 * EDGE);
    const y = (1 - value / most) * (HEIGHT - 2 * EDGE);
    return `${round(EDGE + x + dx)},${round(EDGE + y)}`;
  };
  const toPoints = (start: number, [first = 0, ...rest]: number[]) =>
    // One value between two gaps is a dash, or it would not be seen.
    rest.length === 0
      ? [place(first, start, -1), place(first, start)]
      : [first, ...rest].map((value, index) => place(value, start + index));
  return (
    <svg
      className="nbmlops-Sparkline"
      width={WIDTH}
      height={HEIGHT}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      aria-hidden="true"
    >
      {toParts(values).map(([start, part]) => (
        <polyline key={start} points={toPoints(start, part).join(' ')} />
      ))}
    </svg>
  );
}

/** Return the stretches without a gap, each with where it begins. */
function toParts(values: readonly (number | null)[]): [number, number[]][] {
  const parts: [number, number[]][] = [];
  values.forEach((value, index) => {
    const last = parts.at(-1);
    if (value === null) {
      return;
    }
    if (last && last[0] + last[1].length === index) {
      last[1].push(value);
    } else {
      parts.push([index, [value]]);
    }
  });
  return parts;
}

const round = (value: number) => Math.round(value * 10) / 10;
