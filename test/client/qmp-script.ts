/** What the conformance test says to both: commands and mistakes, in an order that leaves both in the same state. */
import { CAPABILITIES } from '../../src/client/migration/capabilities.js';

const command = (execute: string, args?: object): string =>
  `${JSON.stringify({ execute, ...(args === undefined ? {} : { arguments: args }) })}\n`;
const capability = (...pairs: readonly (readonly [string, boolean])[]): string =>
  command('migrate-set-capabilities', { capabilities: pairs.map(([name, state]) => ({ capability: name, state })) });
const parameter = (name: string, value: unknown): string => command('migrate-set-parameters', { [name]: value });

/** Before qmp_capabilities. */
export const GREETING_SCRIPT: readonly string[] = [
  command('query-status'), command('nope'), command('qmp_capabilities', { enable: ['x'] }), command('qmp_capabilities', { x: 1 }),
];

/** Bytes that are no request, and requests that are wrong as such. */
export const PROTOCOL_SCRIPT: readonly (string | Buffer)[] = [
  command('qmp_capabilities'), 'foo\n', '}\n', ']\n', '{"execute" 1}\n', '{"a":1,"a":2}\n', '{a:1}\n', '[1 2]\n',
    '{"a":1 "b":2}\n', '01\n',
  '"\\x"\n', '"\\u12"\n', '"\\u0000"\n', '"\\ud800"\n', Buffer.from([0x22, 0xff, 0x22, 0x0a]), '@\n', '{"execute": @ }\n',
    '1.\n\n',
  '"abc\n\n', '12 \n', '[]\n', 'null\n', 'true\n', '"text"\n', '{"foo":1}\n', '{}\n', '{"arguments":{}}\n', '{"execute":1}\n',
    '{"execute":null}\n',
  '{"execute":"query-status","arguments":[]}\n', '{"execute":"query-status","arguments":null}\n',
    '{"execute":"query-status","extra":1}\n',
  '{"exec-oob":"query-status"}\n', '{"execute":"query-status","exec-oob":"query-status"}\n',
  "{'execute':'query-status','id':18446744073709551615}\n", '{"execute":"query-status","id":1e400}\n',
  '{"execute":"query-status","id":{"b":1.5,"a":[null]}}\n', '{"execute":"query-status","id":1e3}\n',
  '{"execute":"query-status","id":"\\u00e9\\u20ac\u00e9\\u0001/"}\n', '{"execute":"query-status","id":null}\n',
    '{"execute":"query-status","id":-0}\n',
  '{"execute":"query-status"}{"execute":"query-status","id":1}\n', '{"execute":\n"query-status"\n,"id":2}',
    `{"execute":"query-status","id":${'['.repeat(1020)}${']'.repeat(1020)}}\n`,
  // What comes after it ends the array for QEMU 11, which waits for that.
  `${'['.repeat(1025)}@\n`, command('nope'), command('query-status', { x: 1 }), command('stop', { x: 1 }),
];

const getfd = (fdname: string): string => command('getfd', { fdname });
const closefd = (fdname: string): string => command('closefd', { fdname });
/** What is sent, with how many descriptors; two where it comes in pieces. */
export const DESCRIPTOR_SCRIPT: readonly (readonly [string, number, string?, number?])[] = [
  [getfd('x'), 0], [command('getfd'), 0], [command('getfd', { fdname: 5 }), 0], [getfd('1x'), 0], [getfd(''), 0],
  [getfd('1x'), 1], [getfd('x'), 0], [getfd('a'), 1], [getfd('a'), 1], [getfd('b'), 3], [getfd('b'), 0], [getfd(''), 1],
  // Nobody takes it, until somebody does; or the next comes.
  [command('query-status'), 1], [command('query-status'), 0], [command('getfd', { x: 1 }), 0], [getfd('late'), 0],
  [command('query-status'), 2], [command('query-status'), 1], [getfd('later'), 0], [getfd('later'), 0],
  // One message is more than one command, or less.
  [command('query-status') + getfd('second'), 1], [getfd('both') + getfd('both'), 1],
  ['{"execute":"getfd",', 1, '"arguments":{"fdname":"parts"}}', 0],
  ['{"execute":"getfd",', 0, '"arguments":{"fdname":"parts"}}', 1],
  [getfd('one'), 1, getfd('other'), 1], [closefd('one') + closefd('other'), 0],
  [closefd('nope'), 0], [command('closefd'), 0], [closefd('a'), 0], [closefd('a'), 0], [closefd(''), 0], [closefd('late'), 0],
  [command('migrate', { uri: 'fd:nope' }), 0], [command('migrate', { uri: 'fd:1' }), 0], [command('query-migrate'), 0],
  [command('migrate', { uri: 'fd:b', x: 1 }), 0], [closefd('b'), 0],
];

/** Commands and their mistakes. */
export const COMMAND_SCRIPT: readonly string[] = [
  command('query-status'), command('query-name'), command('query-uuid'), command('query-migrate'),
    command('query-migrate-capabilities'),
  command('query-migrate-parameters'), command('migrate-set-capabilities'), command('migrate-set-capabilities',
    { capabilities: 1 }),
  command('migrate-set-capabilities', { capabilities: [1] }), capability(['x', true]), command('migrate-set-capabilities',
    { capabilities: [{ capability: 'events' }] }),
  command('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: 1 }] }),
  command('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true, x: 1 }] }),
    command('migrate-set-capabilities', { capabilities: [] }),
  capability(['zero-copy-send', true]), capability(['postcopy-preempt', true]), capability(['switchover-ack', true]),
  capability(['return-path', true], ['switchover-ack', true]), capability(['return-path', false]), capability(['switchover-ack',
    false], ['return-path', false]),
  capability(['dirty-limit', true]), capability(['postcopy-ram', true], ['background-snapshot', true]), capability(['multifd',
    true]), capability(['multifd', false]),
  parameter('downtime-limit', -1), parameter('downtime-limit', 2_000_001), parameter('downtime-limit', 'x'),
    parameter('downtime-limit', 1.5),
  parameter('max-bandwidth', -1), parameter('max-bandwidth', 134_217_728), parameter('multifd-channels', 0),
    parameter('multifd-channels', 256),
  parameter('announce-initial', 100_001), parameter('announce-max', 100_001), parameter('announce-rounds', 1001),
    parameter('announce-step', 0),
  parameter('announce-step', 10_001), parameter('throttle-trigger-threshold', 0), parameter('throttle-trigger-threshold', 101),
  parameter('cpu-throttle-initial', 0), parameter('cpu-throttle-initial', 100), parameter('cpu-throttle-increment', 100),
    parameter('max-cpu-throttle', 10),
  parameter('max-cpu-throttle', 100), parameter('cpu-throttle-tailslow', 1), parameter('multifd-compression', 'x'),
    parameter('multifd-zlib-level', 10),
  parameter('multifd-zstd-level', 21), parameter('xbzrle-cache-size', 1000), parameter('tls-creds', 'a'), parameter('tls-creds',
    null), parameter('tls-creds', 1),
  parameter('mode', 'x'), parameter('zero-page-detection', 'x'), parameter('x-vcpu-dirty-limit-period', 0),
    parameter('vcpu-dirty-limit', 0),
  parameter('nope', 1), parameter('max-postcopy-bandwidth', 5), parameter('avail-switchover-bandwidth', 7),
    command('query-migrate-parameters'),
  command('migrate'), command('migrate', { uri: 5 }), command('migrate', { uri: 'bogus:1' }), command('migrate', { uri: '' }),
    command('migrate', { uri: 'tcp:' }),
  command('migrate', { uri: 'tcp:1' }), command('migrate', { uri: 'tcp:localhost' }), command('migrate',
    { uri: 'tcp:localhost:' }),
  command('migrate', { uri: 'tcp:[::1' }), command('migrate', { uri: 'unix' }), command('migrate', { uri: 'unix:' }),
    command('migrate', { uri: 'fd:' }),
  command('migrate', { channels: [] }), command('migrate', { channels: [{ 'channel-type': 'main',
    'addr': { transport: 'x' } }] }),
  command('migrate', { channels: [{ 'channel-type': 'main', 'addr': { transport: 'socket' } }] }), command('migrate',
    { channels: [{ 'channel-type': 'main' }] }),
  command('migrate', { uri: 'unix:/x', resume: true }), command('migrate', { uri: 'unix:/x', x: 1 }), command('query-migrate'),
  command('migrate-continue', { state: 'pre-switchover' }), command('migrate-continue', { state: 'x' }),
    command('migrate-continue'),
  command('migrate-incoming', { uri: 'tcp:1' }), command('migrate-incoming'), command('migrate_cancel'),
    command('migrate-pause'), command('migrate-recover', { uri: 'a' }),
  command('migrate-recover'), command('device_add', { driver: 'nosuch' }), command('device_add'), command('device_del',
    { id: 'nope' }), command('device_del'),
  command('device-list-properties', { typename: 'nope' }), command('qom-list', { path: '/nope' }), command('qom-list',
    { path: '/machine/peripheral' }),
  command('qom-get', { path: '/x', property: 'y' }), command('qom-get', { path: '/machine/peripheral', property: 'nope' }),
  command('qom-get', { path: '/machine/peripheral', property: 'type' }), command('qom-set', { path: '/x', property: 'y',
    value: 1 }), command('qom-get', { path: '/' }),
  command('stop'), command('stop'), command('query-status'), command('cont'), command('cont'), command('query-status'),
    command('system_reset'),
  command('system_powerdown'), command('query-block'),
];

/** A client that negotiates out-of-band commands, as Python's qemu.qmp does. */
export const OUT_OF_BAND_SCRIPT: readonly string[] = [
  command('qmp_capabilities', { enable: 'oob' }), command('qmp_capabilities', { enable: [1] }),
  command('qmp_capabilities', { enable: null }), '{"exec-oob":"qmp_capabilities"}\n',
  '{"execute":"qmp_capabilities","id":"__qmp#00000","arguments":{"enable":["oob","oob"]}}\n',
  ...['query-status', 'migrate-pause', 'migrate-recover', 'nope', 'qmp_capabilities'].map((name) =>
    `{"exec-oob":"${name}","id":"${name}"}\n`),
  '{"exec-oob":"migrate-recover","arguments":{"uri":"x"}}\n', '{"exec-oob":"migrate-pause","arguments":{"x":1}}\n',
  '{"exec-oob":"query-status","arguments":{"x":1}}\n', '{"exec-oob":"migrate-pause","x":1}\n', '{"exec-oob":1}\n',
  '{"exec-oob":null}\n',
  '{"execute":"query-status","exec-oob":"query-status"}\n', command('qmp_capabilities', { enable: ['oob'] }),
  command('qmp_capabilities', { x: 1 }), command('query-status'),
];

const EDGES = [
  '300.0', '3e2', '1.5', '-1', '-0', '0', '1', '"1"', 'true', 'null', '[]', '{}', '255', '256', '65536', '4294967295',
  '4294967296',
  '9223372036854775807', '9223372036854775808', '18446744073709551615', '18446744073709551616', '-9223372036854775808',
  '-9223372036854775809', '1e30', '""', '"none"',
];
const EDGE_PARAMETERS = [
  'max-bandwidth', 'downtime-limit', 'multifd-channels', 'x-checkpoint-delay', 'cpu-throttle-initial', 'multifd-zlib-level',
  'announce-rounds', 'avail-switchover-bandwidth', 'vcpu-dirty-limit', 'max-postcopy-bandwidth', 'cpu-throttle-tailslow',
  'mode',
  'tls-hostname', 'direct-io', 'multifd-compression', 'block-bitmap-mapping',
];
const mapping = { 'node-name': 'a', 'alias': 'b', 'bitmaps': [] };
/** Values of every type at the ends of their ranges, and what depends on other values. */
export const PARAMETER_SCRIPT: readonly string[] = [
  ...EDGE_PARAMETERS.flatMap((name) => EDGES.map((value) =>
    `{"execute":"migrate-set-parameters","arguments":{"${name}":${value}}}\n`)),
  ...[
    {}, { 'max-bandwidth': 5, 'downtime-limit': 99_999_999 }, { 'announce-initial': 100_001, 'announce-max': 100_001 },
    { mode: 'cpr-reboot' }, { mode: 'cpr-transfer' }, { mode: 'normal' },
    { 'max-cpu-throttle': 50, 'cpu-throttle-initial': 60 },
    { 'cpu-throttle-initial': 60, 'max-cpu-throttle': 70 }, { 'multifd-compression': 'zstd' }, { 'multifd-compression': 'qpl' },
    { 'multifd-compression': 'zlib' }, { 'zero-page-detection': 'none' }, { 'direct-io': true }, { 'direct-io': false },
    { 'tls-creds': 'abc', 'tls-hostname': 'h', 'tls-authz': 'z' },
    { 'tls-creds': null, 'tls-hostname': null, 'tls-authz': null },
    { 'block-bitmap-mapping': [mapping] }, { 'block-bitmap-mapping': [{ 'node-name': 'a' }] }, { 'block-bitmap-mapping': [] },
    { 'compress-level': 1 }, { 'decompress-threads': 1 },
  ].flatMap((change) => [command('migrate-set-parameters', change), command('query-migrate-parameters')]),
];

const unix = (path: unknown): object => ({ transport: 'socket', type: 'unix', path });
const main = (addr: unknown): object => ({ 'channel-type': 'main', addr });
/** Addresses of migrations that begin nowhere. */
export const ADDRESS_SCRIPT: readonly string[] = ['migrate', 'migrate-incoming'].flatMap((name) => [
  { uri: 'unix:/x', channels: [main(unix('/x'))] }, { channels: null }, { uri: null }, { channels: {} }, { channels: [null] },
  { channels: [{}] }, { channels: [main({})] }, { channels: [main(null)] },
  { channels: [main({ transport: 'socket', type: 'unix' })] },
  { channels: [main({ transport: 'socket', type: 'inet' })] },
  { channels: [main({ transport: 'socket', type: 'inet', host: 'a' })] },
  { channels: [main({ transport: 'socket', type: 'x', host: 'a' })] },
  { channels: [main({ transport: 'socket', type: 'fd' })] },
  { channels: [main({ transport: 'socket', type: 'inet', host: 1, port: '1' })] },
  { channels: [main({ transport: 'socket', type: 'inet', host: 'a', port: 1 })] }, { channels: [main({ transport: 1 })] },
  { channels: [main({ transport: 'socket', type: 'fd', str: 'nope' })] }, { channels: [main({ ...unix('/x'), x: 1 })] },
  { channels: [{ ...main(unix('/x')), x: 1 }] }, { channels: [main(unix(1))] },
  { channels: [main(unix('/x')), main(unix('/y'))] },
  { channels: [{ 'channel-type': 'x', 'addr': unix('/x') }] }, { uri: 'unix:/x', blk: true }, { uri: 'unix:/x', detach: 1 },
  { uri: 'unix:/x', resume: 1 }, { uri: 'tcp:a:b:c' }, { uri: 'UNIX:/x' }, { uri: 'unix' }, { uri: ':' }, { uri: 'defer' },
  ...[
    { to: 'x' }, { to: 70_000 }, { to: -1 }, { to: 1.5 }, { ipv4: 1 }, { ipv6: 'on' }, { 'keep-alive': 'x' }, { mptcp: null }, { numeric: 1 },
  ].map((option) => ({ channels: [main({ transport: 'socket', type: 'inet', host: '', port: '1', ...option })] })),
  { uri: 'fd:nope' }, { uri: 'x'.repeat(300) }, { uri: 'unix:/nonexistent/x', x: 1 },
].map((args) => command(name, args)));

/** Options of tcp addresses that QEMU 10 can't parse; 11 has another parser. */
export const OPTION_SCRIPT: readonly string[] = ['migrate', 'migrate-incoming'].flatMap((name) => [
  ...[
    'to=', 'to=x', 'to=5x', 'to=5 ,ipv4', 'to=+', 'ipv4=maybe', 'ipv4on', 'ipv4=', 'ipv4=on,,x', 'ipv4,,x', 'ipv4=o', 'ipv6=offf', 'ipv46',
    'ipv6=ON', 'keep-alive=maybe', 'mptcp=maybe', 'to=1,ipv4=x', 'ipv4=x,to=x',
  ].map((options) => ({ uri: `tcp:127.0.0.1:1,${options}` })),
  { uri: 'tcp:,ipv4=on' }, { uri: 'tcp:1,ipv4=on' }, { uri: 'tcp:[::1],ipv6' }, { uri: 'tcp:[]:1' }, { uri: 'tcp:[::1:1' }, { uri: 'tcp:a,b' },
  { uri: `tcp:${'a'.repeat(65)}:1` }, { uri: `tcp:[${'a'.repeat(65)}]:1` },
].map((args) => command(name, args)));

/** Every capability with every other one: on, and off again. */
export const CAPABILITY_SCRIPT: readonly string[] = CAPABILITIES.flatMap((one, at) => CAPABILITIES.slice(at + 1).flatMap((other) =>
  [true, false].map((state) => capability([one, state], [other, state]))));
