import type { IEndpointDetail } from '../../tokens';
import { toPayload } from '../payload';

/** Return a command that sends the example row; it reads the token, and has it not. */
export function toCurl(endpoint: IEndpointDetail): string {
  const { url, token_path, example } = endpoint;
  const payload = JSON.stringify(JSON.parse(toPayload(example)));
  return [
    `curl -s ${quote(`${url}/invocations`)}`,
    ...(token_path === null
      ? []
      : [`-H "Authorization: Bearer $(cat ${quote(token_path)})"`]),
    `-H 'Content-Type: application/json'`,
    `-d ${quote(payload)}`
  ].join(' \\\n  ');
}

/** Return Python that sends the example row; it reads the token, and has it not. */
export function toPython(endpoint: IEndpointDetail): string {
  const { url, token_path, example } = endpoint;
  const payload: unknown = JSON.parse(toPayload(example));
  const hasToken = token_path !== null;
  return [
    ...(hasToken ? ['from pathlib import Path', ''] : []),
    'import requests',
    '',
    ...(hasToken
      ? [`token = Path(${JSON.stringify(token_path)}).read_text().strip()`]
      : []),
    'answer = requests.post(',
    `    ${JSON.stringify(`${url}/invocations`)},`,
    ...(hasToken ? ['    headers={"Authorization": f"Bearer {token}"},'] : []),
    `    json=${toLiteral(payload)},`,
    '    timeout=60,',
    ')',
    'answer.raise_for_status()',
    'print(answer.json()["predictions"])',
    ''
  ].join('\n');
}

/** Quote a word for a POSIX shell. */
function quote(text: string): string {
  return `'${text.replace(/'/g, `'\\''`)}'`;
}

function toLiteral(value: unknown): string {
  if (value === null || typeof value === 'boolean') {
    return value === null ? 'None' : value ? 'True' : 'False';
  }
  if (Array.isArray(value)) {
    return `[${value.map(toLiteral).join(', ')}]`;
  }
  if (typeof value === 'object') {
    const items = Object.entries(value).map(
      ([name, item]) => `${JSON.stringify(name)}: ${toLiteral(item)}`
    );
    return `{${items.join(', ')}}`;
  }
  return JSON.stringify(value);
}
