/**
 * Drivers from a user's own module: `--driver ./my-driver.js`. Its default export is what defineDriver() gave, or an MdevDriver.
 * The module imports this very program as `mdevsim`, wherever it lies: what it throws and what it builds on is ours.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { register } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DriverOptions } from '../drivers/index.js';
import { accident } from '../drivers/simple/guard.js';
import type { MdevDriver } from '../mdev/driver.js';

export type DriverFactory = (options: DriverOptions) => MdevDriver;

/** Whether a driver's name is the path of a module: it begins with `/`, `./` or `../`. */
export const isDriverPath = (name: string): boolean => /^\.{0,2}\//.test(name);

const TYPESCRIPT = /\.[mc]?ts$/;
const NO_TYPESCRIPT = 'this Node.js does not read TypeScript: use Node.js 22.18 or newer, install tsx, or compile the driver';

const self = new URL(import.meta.url.endsWith('.ts') ? '../index.ts' : '../index.js', import.meta.url).href;
const readsTypeScript = Boolean((process.features as { readonly typescript?: unknown }).typescript);

/** Marks the driver's own URL for HOOK. */
const MARK = '?mdevsim-driver';
/**
 * Runs in Node's thread for module hooks. `mdevsim` is this program for whoever imports it; and a driver is an ES module whatever
 * package.json there is around it.
 */
const HOOK = `export async function resolve(name, context, next) {
  const found = await next(name === 'mdevsim' ? ${JSON.stringify(self)} : name, context);
  if (!found.url.endsWith('${MARK}')) return found;
  const typeScript = ${String(readsTypeScript)} && /\\.m?ts\\?/.test(found.url);
  return { ...found, format: typeScript ? 'module-typescript' : 'module' };
}`;

let hooked = false;
let hasTypeScript = readsTypeScript || import.meta.url.endsWith('.ts');

/** Where Node reads no TypeScript by itself, tsx does, if it is installed. Ours must be the hook that was registered last. */
async function prepareNode(path: string): Promise<void> {
  if (TYPESCRIPT.test(path) && !hasTypeScript) {
    try {
      (await import('tsx/esm/api')).register();
    } catch (cause) {
      throw new RangeError(NO_TYPESCRIPT, { cause });
    }
    hasTypeScript = true;
    hooked = false;
  }
  if (!hooked) register(`data:text/javascript,${encodeURIComponent(HOOK)}`);
  hooked = true;
}

function factoryOf(exported: unknown): DriverFactory | undefined {
  if (typeof exported === 'function') return exported as DriverFactory;
  if (typeof exported !== 'object' || exported === null) return undefined;
  const { name, parentPath, createParent } = exported as Readonly<Record<string, unknown>>;
  const whole = typeof name === 'string' && typeof parentPath === 'function' && typeof createParent === 'function';
  return whole ? () => exported as MdevDriver : undefined;
}

/** Node's SyntaxError of a module does not say where; checking the file once more does. */
function whatIsWrong(error: unknown, file: string): string {
  if (!existsSync(file)) return 'no such file';
  const text = accident(error).replace(/\s*\n\s*/g, ' ');
  if (!(error instanceof SyntaxError)) return text;
  const input = readFileSync(file);
  const check = spawnSync(process.execPath, ['--check', '--input-type=module', '-'], { input, encoding: 'utf8' });
  const line = /^\[stdin\]:(\d+)/.exec(check.stderr)?.[1];
  return line === undefined ? text : `${file}:${line}: ${text}`;
}

/** Throws RangeError, with a sentence for the user that names the driver's file and line. */
export async function loadUserDriver(path: string): Promise<DriverFactory> {
  const file = resolve(path);
  let exported: unknown;
  try {
    await prepareNode(file);
    exported = ((await import(`${pathToFileURL(file).href}${MARK}`)) as { readonly default?: unknown }).default;
  } catch (error) {
    const text = error instanceof RangeError ? error.message : whatIsWrong(error, file);
    throw new RangeError(`driver ${path}: ${text}`, { cause: error });
  }
  const factory = factoryOf(exported);
  if (factory === undefined) {
    throw new RangeError(`driver ${path}: its default export must be what defineDriver() gives, or an MdevDriver`);
  }
  return factory;
}
