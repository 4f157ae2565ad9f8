/** QMP's JSON dialect: what QEMU 10.0.2 answered to each of these lines, byte by byte and in one piece. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Json } from '../../src/client/qmp/json-parser.js';
import { JsonError, JsonStream } from '../../src/client/qmp/json-parser.js';
import { writeJson } from '../../src/client/qmp/json-writer.js';

const collect = (seen: string[]): JsonStream =>
  new JsonStream((value) => seen.push(value instanceof JsonError ? `! ${value.message}` : writeJson(value)));

function feed(input: Buffer, pieces: number): string[] {
  const seen: string[] = [];
  const stream = collect(seen);
  for (let at = 0; at < input.length; at += pieces) stream.feed(input.subarray(at, at + pieces));
  return seen;
}

/** Each time until there is one message more. */
function feedOneByOne(input: Buffer): string[] {
  const seen: string[] = [];
  const stream = collect(seen);
  for (let at = 0; at < input.length;) {
    const before = seen.length;
    at += stream.feed(input.subarray(at), () => seen.length > before);
    assert.ok(seen.length <= before + 2);
  }
  return seen;
}

const PE = '! JSON parse error, ';
const CASES: readonly [input: string | Buffer, ...expected: string[]][] = [
  ['foo\n', `${PE}invalid keyword 'foo'`],
  ['}\n', `${PE}expecting value`],
  [']\n', `${PE}expecting value`],
  ['{"execute" 1}\n', `${PE}missing : in object pair`],
  ['{"a":1,"a":2}\n', `${PE}duplicate key`],
  ['{1:1}\n', `${PE}key is not a string in object`],
  ['[1 2]\n', `${PE}expected separator in list`],
  ['{"a":1 "b":2}\n', `${PE}expected separator in dict`],
  ['[1,]\n', `${PE}expecting value`],
  ['01\n', `${PE}stray '01'`],
  ['"\\x"\n', `${PE}invalid escape sequence in string`],
  ['"\\ud800"\n', `${PE}\\ud800 is not a valid Unicode character`],
  ['@\n', `${PE}stray '@'`],
  ['{"execute": @ }\n{}', `${PE}stray '@'`, `${PE}expecting value`, '{}'],
  ['1.\n', `${PE}stray '1.\n'`],
  ['"abc\n{}', `${PE}stray '"abc\n'`, '{}'],
  [Buffer.from([0x22, 0xff, 0x22, 0x0a, 0x31, 0x0a]), `${PE}stray '"\ufffd'`, '1'],
  ["{'a':'b'}", '{"a": "b"}'],
  ['{"a":1}{"b":2}', '{"a": 1}', '{"b": 2}'],
  ['18446744073709551615 -9223372036854775808 9007199254740993\n', '18446744073709551615', '-9223372036854775808', '9007199254740993'],
  ['1e3 1.5 -0 0\n', '1000', '1.5', '0', '0'],
  ['1e400\n', 'inf'],
  ['"\\u00e9\\u20ac\u00e9\\u0001/\\ud83d\\ude00"\n', '"\\u00E9\\u20AC\\u00E9\\u0001/\\uD83D\\uDE00"'],
  ['[true,false,null,[],{}]', '[true, false, null, [], {}]'],
  ['{"__proto__":1}', '{"__proto__": 1}'],
];

describe('JsonStream', () => {
  for (const [input, ...expected] of CASES) {
    it(`answers ${JSON.stringify(input.toString())} as QEMU does`, () => {
      const bytes = Buffer.from(input);
      assert.deepEqual(feed(bytes, bytes.length), expected);
      assert.deepEqual(feed(bytes, 1), expected);
      assert.deepEqual(feedOneByOne(bytes), expected);
    });
  }

  it('refuses what nests deeper than 1024 and goes on', () => {
    assert.deepEqual(feed(Buffer.from(`${'['.repeat(1025)}\n{}`), 4096), ['! JSON nesting depth limit exceeded', '{}']);
  });

  it('takes a message of 60 MiB and refuses one of more than 64 MiB', () => {
    const whole = (mib: number): Buffer => Buffer.from(`"${'x'.repeat(mib << 20)}"\n\n1\n`);
    let length = 0;
    const values: (Json | JsonError)[] = [];
    const stream = new JsonStream((value) => values.push(typeof value === 'string' ? (length = value.length) : value));
    stream.feed(whole(60));
    assert.deepEqual([length, values.length], [60 << 20, 2]);
    const big = whole(65);
    for (let at = 0; at < big.length; at += 1 << 20) stream.feed(big.subarray(at, at + (1 << 20)));
    assert.ok(values[2] instanceof JsonError);
    assert.equal(values.at(-1), 1);
  });
});
