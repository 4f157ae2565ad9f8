/**
 * Fails on an import that goes against the layers (scripts/layers.ts), on an import of another package outside the few
 * that the program has, and on a cycle between files. Run with: node --import tsx scripts/check-layers.ts [root]
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { forbidden, layerOf } from './layers.js';
import type { Import } from './layers.js';

const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  koffi: ['src/sys', 'mount'],
  commander: ['src/cli', 'src'],
  valibot: ['src/lab', 'src/drivers/*'],
  yaml: ['src/lab'],
  // Where it is installed and Node itself reads no TypeScript.
  'tsx/esm/api': ['src/lab'],
};

function sources(root: string): string[] {
  return ['src', 'mount'].flatMap((top) => readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts')).map((name) => join(top, name)));
}

interface RawImport { readonly specifier: string; readonly typeOnly: boolean }

/** Static, dynamic and type imports and re-exports of a file. */
export function importsOf(file: string, text: string): RawImport[] {
  const found: RawImport[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const bindings = node.importClause?.namedBindings;
      const named = bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements : undefined;
      const onlyTypes = named !== undefined && named.length > 0 && named.every((element) => element.isTypeOnly);
      const typeOnly = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
        || (node.importClause?.name === undefined && onlyTypes);
      found.push({ specifier: node.moduleSpecifier.text, typeOnly });
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) {
      found.push({ specifier: node.moduleSpecifier.text, typeOnly: node.isTypeOnly });
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const argument = node.arguments[0];
      if (argument !== undefined && ts.isStringLiteral(argument)) found.push({ specifier: argument.text, typeOnly: false });
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
      found.push({ specifier: node.argument.literal.text, typeOnly: true });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest));
  return found;
}

/** Cycles of imports that exist at run time, as lists of files. */
export function cycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const at = path.indexOf(file);
    if (at >= 0) { found.push([...path.slice(at), file]); return; }
    if (done.has(file)) return;
    path.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return found;
}

/** All complaints about the project below `root`. */
export function check(root: string): string[] {
  const problems: string[] = [];
  const graph = new Map<string, string[]>();
  for (const file of sources(root)) {
    const targets: string[] = [];
    graph.set(file, targets);
    for (const { specifier, typeOnly } of importsOf(file, readFileSync(join(root, file), 'utf8'))) {
      if (specifier.startsWith('node:')) continue;
      if (!specifier.startsWith('.')) {
        const layer = layerOf(file) ?? '';
        if (PACKAGES[specifier]?.includes(layer) !== true) {
          problems.push(`${file} imports the package ${specifier}: ${layer} may not`);
        }
        continue;
      }
      const to = normalize(join(dirname(file), specifier)).replace(/\.js$/, '.ts');
      const edge: Import = { from: file, to, typeOnly };
      const problem = forbidden(edge);
      if (problem !== undefined) problems.push(problem);
      if (!typeOnly) targets.push(to);
    }
  }
  for (const cycle of cycles(graph)) problems.push(`import cycle: ${cycle.join(' -> ')}`);
  return problems;
}

if (process.argv[1] !== undefined && fileURLToPath(import.meta.url) === process.argv[1]) {
  const root = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..');
  const problems = check(root);
  for (const problem of problems) console.error(problem);
  const where = relative(process.cwd(), root) || '.';
  console.log(problems.length === 0 ? 'layers: ok' : `layers: ${problems.length} problems below ${where}`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
