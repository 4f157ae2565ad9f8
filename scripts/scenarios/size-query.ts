/** Opens a device with VFIO, asks how much data a migration would move, prints it and ends. Argument: UUID. Under `mdevsim run`. */
import { MainLoop } from '../../src/client/main-loop.js';
import { VfioDevices } from '../../src/client/vfio/devices.js';
import { DeviceMigration } from '../../src/client/vfio/migration.js';
import { Ram } from '../../src/client/vm/ram.js';
import { Vm } from '../../src/client/vm/vm.js';

const vm = new Vm({ ram: new Ram(1 << 20), state: 'prelaunch', environment: { event: () => undefined, log: () => undefined } });
const devices = new VfioDevices(vm, new MainLoop());
const device = devices.add({ sysfsdev: `/sys/bus/mdev/devices/${process.argv[2] ?? ''}` });
const { migration } = device;
console.log(migration instanceof DeviceMigration ? String(migration.dataSize()) : 'no');
devices.close();
process.exit(0);
