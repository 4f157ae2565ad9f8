/** Types of what commands return and events tell, for the schema. Source: QEMU's qapi/{migration,run-state,qom,pci}.json. */
import { CAPABILITIES } from '../migration/capabilities.js';
import { MIGRATION_STATUSES } from '../migration/state.js';
import { STEPS } from '../migration/steps.js';
import type { QmpMembers, QmpObject, QmpType } from '../qmp/schema.js';
import { RUN_STATES } from '../vm/run-state.js';

const struct = (members: QmpMembers): QmpObject => ({ struct: members });
const list = (type: QmpType): QmpType => ({ list: type });
const integers = (...names: readonly string[]): QmpMembers => Object.fromEntries(names.map((name) => [name, 'int']));

const STEP: QmpType = { enum: STEPS };
const MIGRATION_STATUS: QmpType = { enum: MIGRATION_STATUSES };

export const SOCKET_ADDRESS: QmpObject = {
  union: 'type',
  struct: { type: { enum: ['inet', 'unix', 'fd'] } },
  variants: {
    inet: struct({
      'host': 'str', 'port': 'str', '*numeric': 'bool', '*to': 'uint16', '*ipv4': 'bool', '*ipv6': 'bool', '*keep-alive': 'bool',
      '*mptcp': 'bool',
    }),
    unix: struct({ path: 'str' }), fd: struct({ str: 'str' }),
  },
};
/** MigrationAddress, as far as it is supported: sockets. */
export const MIGRATION_ADDRESS: QmpObject = {
  union: 'transport', struct: { transport: { enum: ['socket'] } }, variants: { socket: SOCKET_ADDRESS },
};

export const CAPABILITY_STATUS: QmpType = list(struct({ capability: { enum: CAPABILITIES }, state: 'bool' }));

export const MIGRATION_INFO: QmpType = struct({
  '*status': MIGRATION_STATUS,
  '*ram': struct({
    ...integers(
      'transferred', 'remaining', 'total', 'duplicate', 'normal', 'normal-bytes', 'dirty-pages-rate', 'dirty-sync-count',
      'postcopy-requests', 'page-size', 'multifd-bytes', 'pages-per-second', 'precopy-bytes', 'downtime-bytes', 'postcopy-bytes',
      'dirty-sync-missed-zero-copy',
    ),
    mbps: 'number',
  }),
  '*vfio': struct(integers('transferred')),
  ...integers('*total-time', '*expected-downtime', '*downtime', '*setup-time'),
  '*error-desc': 'str', '*blocked-reasons': list('str'), '*socket-address': list(SOCKET_ADDRESS),
});

export const THREADS_INFO: QmpType = list(struct({ 'name': 'str', 'thread-id': 'int' }));
export const STATUS_INFO: QmpType = struct({ running: 'bool', status: { enum: RUN_STATES } });
export const VERSION_INFO: QmpType = struct({ qemu: struct(integers('major', 'minor', 'micro')), package: 'str' });
export const PROPERTIES_INFO: QmpType = list(struct({
  'name': 'str', 'type': 'str', '*description': 'str', '*default-value': 'any',
}));
export const PCI_INFO: QmpType = list(struct({
  bus: 'int', devices: list(struct({ ...integers('bus', 'slot', 'function'), qdev_id: 'str' })),
}));
export const STEPS_INFO: QmpType = struct({ breaks: list(STEP), held: list(STEP) });
export const GUEST_LOAD_INFO: QmpType = struct(integers('pages', 'sent', 'received', 'errors'));

const cause = (...reasons: readonly string[]): QmpMembers => ({ guest: 'bool', reason: { enum: reasons } });
const deviceState = (...more: readonly string[]): QmpMembers => ({
  'device-id': 'str', 'qom-path': 'str',
  'device-state': { enum: ['stop', 'running', 'stop-copy', 'resuming', 'running-p2p', 'pre-copy', 'pre-copy-p2p', ...more] },
});

/** What each event tells. */
export const EVENTS: Readonly<Record<string, QmpMembers>> = {
  SHUTDOWN: cause('host-qmp-quit', 'host-signal'),
  POWERDOWN: {},
  RESET: cause('host-qmp-system-reset'),
  STOP: {},
  RESUME: {},
  MIGRATION: { status: MIGRATION_STATUS },
  MIGRATION_PASS: { pass: 'int' },
  DEVICE_DELETED: { '*device': 'str', 'path': 'str' },
  VFIO_MIGRATION: deviceState('pre-copy-p2p-prepare'),
  VFIO_MIGRATION_PREPARE: deviceState(),
  X_MDEVSIM_BREAK: { step: STEP },
};
