/** How this very copy of mdevsim is called as a program: the built one, or the sources through tsx. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export function ownCommand(): readonly string[] {
  const path = fileURLToPath(import.meta.url);
  return path.endsWith('.ts') ? [process.execPath, '--import', import.meta.resolve('tsx'), join(path, '../../main.ts')]
    : [process.execPath, join(path, '../../main.js')];
}
