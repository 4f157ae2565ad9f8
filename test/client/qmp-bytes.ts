/** Bytes in every place where they mean something else, escapes, numbers: what the conformance test says beside its commands. */
const id = (...parts: readonly (string | readonly number[])[]): Buffer => Buffer.concat([
  '{"execute":"query-name","id":', ...parts, '}\n',
].map((part) => Buffer.from(typeof part === 'string' ? part : Uint8Array.from(part))));
const inString = (...parts: readonly (string | readonly number[])[]): Buffer => id('"', ...parts, '"');
/** What puts a parser into its first state, whatever it waits for. */
const AGAIN = '\x01\n';
const every = (around: (byte: number) => readonly (string | readonly number[])[]): Buffer[] =>
  Array.from({ length: 256 }, (_, byte) => Buffer.concat([...around(byte), AGAIN].map((part) => Buffer.from(
    typeof part === 'string' ? part : Uint8Array.from(part)))));

const NUMBERS = [
  '-', '-0', '-a', '00', '0e1', '0.5', '0.', '1e', '1e+', '1e+1', '1E5', '1.5e3', '1e5.', '1.e', '-1.5', '+1', '.5', '0x10',
  '1a',
  '1_0', '1.0', '1.50', '0.1', '1e-7', '2.5e-5', '0.0001', '1e15', '1e16', '1e17', '1e21', '1e22', '4.35',
  '3.141592653589793', '5e-324',
  '1.7976931348623157e308', '1e309', '-1e309', '-0.0', '123456789012345678', '9223372036854775807', '9223372036854775808',
  '18446744073709551615', '18446744073709551616', '-9223372036854775808', '-9223372036854775809', '100000000000000000000000',
];
const ESCAPES = [
  '\\', "'", "\\'", '\\"', '\\/', '\\b\\f\\n\\r\\t', '\\v', '\\a', '\\0', '\\x41', '\\U0041', '\\u', '\\u1', '\\u12',
  '\\u123', '\\u1234', '\\u000g', '\\u 123', '\\u+123', '\\u0000', '\\uD800', '\\uDC00', '\\uD800\\uDC00', '\\uDC00\\uD800',
  '\\uD800x', '\\uD800\\n',
  '\\uD800\\u0041', '\\uD800\\uD800', '\\uD800\\u', '\\uD800\\uDC0', '\\uDBFF\\uDFFF', '\\uD83F\\uDFFE', '\\uD83F\\uDFFD',
  '\\uFDD0', '\\uFDEF', '\\uFDF0', '\\uFFFE', '\\uFFFF', '\\uFFFD', '\\uFEFF', '\\uABCD\\uabcd',
];
/** UTF-8 and what looks like it. */
const SEQUENCES: readonly (readonly number[])[] = [
  [0xc0, 0x80], [0xc1, 0x81], [0xc2, 0x80], [0xc2], [0xc2, 0x41], [0xe0, 0x80, 0x80], [0xe0, 0xa0, 0x80], [0xe0, 0xc0, 0x80],
  [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xef, 0xbf, 0xbe], [0xef, 0xbf, 0xbf], [0xef, 0xb7, 0x90], [0xef, 0xbb, 0xbf],
  [0xf0, 0x80, 0x80, 0x80], [0xf0, 0x9f, 0x98, 0x80], [0xf0, 0x9f, 0xbf, 0xbe], [0xf4, 0x8f, 0xbf, 0xbd], [0xf4, 0x8f, 0xbf,
  0xbf],
  [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80],
];

/** Without the bytes that open a list or an object. */
const outside = (rows: readonly Buffer[]): Buffer[] => rows.filter((_, byte) => byte !== 0x5b && byte !== 0x7b);

export const BYTES_SCRIPT: readonly (string | Buffer)[] = [
  ...every((byte) => [[byte], '\n']), ...outside(every((byte) => ['@@', [byte], '{}\n'])),
  ...outside(every((byte) => ['ab', [byte], 'c\n'])),
  ...outside(every((byte) => ['12', [byte], '3\n'])), ...every((byte) => ['"ab', [byte], 'c"\n']),
  ...every((byte) => ['"ab\\', [byte], 'c"\n']),
  ...NUMBERS.flatMap((text) => [`${text}\n${AGAIN}`, id(text), AGAIN]),
  ...ESCAPES.flatMap((text) => [inString(text), AGAIN, inString(text, ' and more'), AGAIN, id("'", text, "'"), AGAIN]),
  ...SEQUENCES.flatMap((bytes) => [
    inString(bytes), inString(bytes, '\\n'), inString('\\n', bytes), inString('\\q', bytes), inString(bytes, '\\q'),
  ]),
  ...['[}]', '[}}', '{"a":[}]}', '{"a":1]', '[[}', '[[}}', '}{', '][', ',,,', ':', '1:2',
    '{} {} 1 "a"', '[,1]', '[1,]', '{"a":}', '{"a"}', '{"a"::1}', '{"":1}', 
    '{"\\q":1}', '%s', '%lld',
    '{"execute":%s}',
  ].map((text) => `${text}\n${AGAIN}`),
  '{"\\u0065xecute":"query-name"}\n', '{"execute":"query-name"}\r\n{"execute":"query-name","id":2}\r\n', '{"__proto__":1}\n',
  id('{"__proto__":1}'), '{"execute":"__proto__"}\n', '{"execute":"toString"}\n',
  '{"execute":"query-name","arguments":{"__proto__":1}}\n', '{"execute":"query-name","arguments":{"toString":1}}\n',
  'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n', 'SSH-2.0-OpenSSH_9.2\r\n', Buffer.from([0xff, 0xfb, 0x01, 0x0a]),
];

/**
 * Messages that are wrong before they end. QEMU 11 reads token by token, and says so as soon as it has come to the mistake; where
 * a member's name should be, it says "expecting key", whatever else is there.
 */
export const BROKEN_SCRIPT: readonly string[] = [
  '{]}', '[}{]', '{"a":[}', '{{]', '{,"a":1}', '{"a":1,}', '{null:1}', '{[]:1}',
  '@@{{}', '@@[{}', 'ab[c', 'ab{c', '12[3', '12{3',
].map((text) => `${text}\n${AGAIN}`);
