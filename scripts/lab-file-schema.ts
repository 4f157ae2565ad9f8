/**
 * Makes docs/lab-file.schema.json, the JSON Schema of lab files for editors, from the schema that checks them
 * (src/lab/config/schema.ts). Run with: node --import tsx scripts/lab-file-schema.ts
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { toJsonSchema } from '@valibot/to-json-schema';
import { LAB_FILE } from '../src/lab/config/schema.js';

export const SCHEMA_FILE = fileURLToPath(new URL('../docs/lab-file.schema.json', import.meta.url));

/** The file's text. What JSON Schema cannot say in valibot's words (stop-copy must be in the list) is left out. */
export function schemaText(): string {
  const { $schema, ...rest } = toJsonSchema(LAB_FILE, { ignoreActions: ['check'] });
  return `${JSON.stringify({ $schema, ...rest }, undefined, 2)}\n`;
}

if (process.argv[1] !== undefined && fileURLToPath(import.meta.url) === process.argv[1]) writeFileSync(SCHEMA_FILE, schemaText());
