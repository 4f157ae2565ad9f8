/**
 * What newer QEMUs say otherwise than QEMU 10, as which `mdevsim vmm` speaks. Each row rewrites one of the two's words, as JSON,
 * into the other's; nothing else may differ.
 */
interface VersionDifference {
  /** QEMU's major version. */
  readonly since: number;
  readonly why: string;
  /** In what QEMU says; or in what ours does. */
  readonly in: 'qemu' | 'ours';
  readonly from: RegExp | string;
  readonly to: string;
}

const json = (text: string): string => JSON.stringify(text).slice(1, -1);
/** Another text for the same mistake. */
const rephrased = (since: number, from: string, to: string): VersionDifference =>
  ({ since, why: 'another text', in: 'qemu', from: json(from), to: json(to) });

const DIFFERENCES: readonly VersionDifference[] = [
  { since: 11, why: 'syntax errors name line and column', in: 'qemu', from: /"\d+:\d+: (?=JSON parse error)/g, to: '"' },
  rephrased(11, "expecting ':'", 'missing : in object pair'),
  rephrased(11, 'JSON parse error, expecting key', "JSON parse error, invalid keyword 'a'"),
  rephrased(11, "expected ',' or ']'", 'expected separator in list'),
  rephrased(11, "expected ',' or '}'", 'expected separator in dict'),
  {
    since: 11, why: 'after too many brackets, what comes up to their end is skipped', in: 'ours',
    from: /(?<=limit exceeded"}}),{"error":{"class":"GenericError","desc":"JSON parse error, stray '@'"}}/, to: '',
  },
  { since: 11, why: 'a capability is gone', in: 'ours', from: '{"state":false,"capability":"zero-blocks"},', to: '' },
  {
    since: 11, why: 'a conflict is gone', in: 'ours',
    from: '{"error":{"class":"GenericError","desc":"Postcopy is not yet compatible with multifd"}}', to: '{"return":{}}',
  },
  { since: 11, why: 'a parameter is new', in: 'qemu', from: /"x-rdma-chunk-size":1048576,/g, to: '' },
  { since: 11, why: 'a parameter is new', in: 'qemu', from: /"cpr-exec-command":\[\],/g, to: '' },
  {
    since: 11, why: 'parameters are called options, and have their own names', in: 'ours',
    from: /"Parameter '([a-z-]+(?:_[a-z]+)+|x-vcpu-dirty-limit-period)' expects/g, to: '"Option $1 expects',
  },
  { since: 11, why: 'the same', in: 'ours', from: 'vcpu_dirty_limit', to: 'vcpu-dirty-limit' },
  { since: 11, why: 'the same', in: 'ours', from: 'of cpu_throttle_initial to', to: 'of cpu-throttle-initial to' },
  {
    since: 11, why: 'query-migrate tells what remains of everything', in: 'qemu',
    from: /"remaining":"number",(?="status"|"setup)/g, to: '',
  },
  {
    since: 11, why: 'an argument is gone', in: 'ours',
    from: "Invalid parameter type for 'detach', expected: boolean", to: "Parameter 'detach' is unexpected",
  },
  {
    since: 11, why: 'ids are looked at', in: 'qemu',
    from: /"Invalid qdev ID '[^']*'"/, to: '"vfio /nonexistent: no such host device: No such file or directory"',
  },
  {
    since: 11, why: 'a property is gone', in: 'ours', from: /\{"return":"1[01]\.0"\}/,
    to: '{"error":{"class":"GenericError","desc":"Property \'vfio-pci.legacy-addr\' not found"}}',
  },
  { since: 11, why: 'a command is gone', in: 'ours', from: '[{"name":"mig/src/main","thread-id":"number"}]', to: '[]' },
  {
    since: 11, why: 'the same', in: 'qemu',
    from: '{"error":{"class":"CommandNotFound","desc":"The command query-migrationthreads has not been found"}}', to: '{"return":[]}',
  },
  rephrased(11, 'Switchover is interrupted', 'Channel error: Input/output error'),
  {
    since: 11, why: 'an error that ends a migration shows before it has ended', in: 'qemu', from: /"MIGRATION failing",/g, to: '',
  },
  {
    since: 11, why: 'a stream is looked at before the migration is active', in: 'qemu',
    from: '["unknown channel magic: 1416128883",""],"events":["MIGRATION setup",',
    to: '["Not a migration stream","load of migration failed: Invalid argument",""],"events":["MIGRATION setup","MIGRATION active",',
  },
];

/** What that version of QEMU and ours said, made comparable. */
export function reconcile(major: number, qemu: unknown, ours: unknown): { qemu: unknown; ours: unknown } {
  const texts = { qemu: JSON.stringify(qemu), ours: JSON.stringify(ours) };
  for (const { since, in: side, from, to } of DIFFERENCES) {
    if (since <= major) texts[side] = texts[side].replace(from, to);
  }
  // The underscores of a parameter's name are hyphens where it is called an option.
  texts.ours = texts.ours.replace(/"Option [a-z_-]+/g, (option) => option.replaceAll('_', '-'));
  return { qemu: JSON.parse(texts.qemu) as unknown, ours: JSON.parse(texts.ours) as unknown };
}
