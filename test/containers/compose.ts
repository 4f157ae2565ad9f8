/** compose.yaml as podman's options: what is not known here fails, so that nothing in the file is left untested. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export interface Service {
  readonly image: string;
  readonly build?: unknown;
  readonly depends_on?: unknown;
  readonly command: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly devices?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly pid?: string;
  readonly healthcheck?: { readonly test: readonly string[] };
}

/** Done by the test itself, or not options. */
const ELSEWHERE = ['image', 'build', 'depends_on', 'command', 'entrypoint', 'healthcheck'];
const REPEATED: Readonly<Record<string, string>> = { devices: '--device', cap_add: '--cap-add', security_opt: '--security-opt' };

export function composeOf(path: string): { readonly server: Service; readonly client: Service } {
  const { services } = parse(readFileSync(path, 'utf8')) as { services: Record<string, Service> };
  const { server, client, ...others } = services;
  assert.deepEqual(Object.keys(others), []);
  assert.ok(server !== undefined && client !== undefined);
  return { server, client };
}

/** Options of `podman run`; a service's container is called like the service. */
export function runOptions(service: Service): string {
  return Object.entries(service).filter(([key]) => !ELSEWHERE.includes(key)).map(([key, value]) => {
    if (key === 'pid') return `--pid ${String(value).replace(/^service:/, 'container:')}`;
    const option = REPEATED[key];
    assert.ok(option !== undefined, `compose.yaml: what is ${key} to podman?`);
    return (value as readonly string[]).map((one) => `${option} ${one}`).join(' ');
  }).join(' ');
}

export const shellWords = (words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
