/** Guest memory into a file. Source: QEMU's system/cpus.c: qmp_pmemsave(). */
import { closeSync, openSync, writeSync } from 'node:fs';
import { errorText } from '../migration/error-text.js';
import { QmpError } from '../qmp/error.js';
import type { CommandContext, CommandTable } from './context.js';
import { text } from './context.js';

/** Bytes written at a time. */
const PIECE = 1 << 20;

export function memoryCommands({ vm }: CommandContext): CommandTable {
  return {
    'pmemsave': {
      arguments: { val: 'int', size: 'int', filename: 'str' },
      run: ({ val, size, filename }) => {
        save(vm.ram.bytes, Number(val), Number(size), text(filename));
        return {};
      },
    },
  };
}

/** What is beyond the RAM reads as zeros. Throws QmpError. */
function save(ram: Uint8Array, from: number, size: number, path: string): void {
  let file: number;
  try {
    file = openSync(path, 'w');
  } catch (error) {
    throw new QmpError(`Could not open '${path}': ${errorText(error)}`);
  }
  try {
    for (let done = 0; done < size; done += PIECE) {
      const piece = new Uint8Array(Math.min(PIECE, size - done));
      const at = from + done;
      if (at >= 0 && at < ram.length) piece.set(ram.subarray(at, at + piece.length));
      for (let written = 0; written < piece.length;) written += writeSync(file, piece, written);
    }
  } catch (error) {
    throw new QmpError(`writing memory to '${path}' failed: ${errorText(error)}`);
  } finally {
    closeSync(file);
  }
}
