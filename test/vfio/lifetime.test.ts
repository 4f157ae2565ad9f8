/** Who holds whom: groups, containers, device fds, removal; and what becomes of memory that went away. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../src/abi/vfio.js';
import { Errno } from '../../src/abi/errno.js';
import { cString, expect0, FakeDevice, int32, UUID_A, UUID_B, VfioClient } from './vfio-client.js';

function setUp(options: { slots?: number } = {}) {
  const client = new VfioClient(options);
  const ops = new FakeDevice();
  return { client, ops, registration: client.vfio.register({ name: UUID_A }, ops) };
}

const mapDma = (client: VfioClient, container: number, iova: bigint, vaddr: bigint, size = 0x1000n, flags = 3) =>
  client.ioctl(container, abi.VFIO_IOMMU_MAP_DMA, abi.vfio_iommu_type1_dma_map.encode({ argsz: 32, flags, vaddr, iova, size }));

describe('device fds', () => {
  it('open the device with the first and close it with the last', async () => {
    const { client, ops, registration } = setUp();
    const { group, device } = await client.openDevice(registration);
    const second = expect0(await client.ioctl(group, abi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID_A))).ret;
    await client.close(device);
    assert.deepEqual(ops.calls, ['open']);
    await client.close(second);
    assert.deepEqual(ops.calls, ['open', 'close']);
  });

  it('keep the group open and its container alive when both files are closed', async () => {
    const { client, ops, registration } = setUp();
    const { container, group, device } = await client.openDevice(registration);
    const page = client.caller.allocate(4096);
    expect0(await mapDma(client, container, 0x1000n, page));
    await client.close(group);
    await client.close(container);
    assert.equal((await client.openGroup(registration)).errno, 'EBUSY');
    ops.dma?.write(0x1000n, Uint8Array.of(7));
    assert.equal(client.caller.read(page, 1)[0], 7);
    await client.close(device);
    assert.throws(() => ops.dma?.read(0x1000n, 1), { code: 'EFAULT' });
    assert.equal((await client.openGroup(registration)).errno, '0');
  });

  it('GET_DEVICE_FD without a free slot is EMFILE and leaves the device closed', async () => {
    const { client, ops, registration } = setUp({ slots: 0 });
    const container = client.openContainer();
    const group = (await client.openGroup(registration)).ret;
    await client.ioctl(group, abi.VFIO_GROUP_SET_CONTAINER, int32(container));
    await client.ioctl(container, abi.VFIO_SET_IOMMU, 3n);
    assert.equal((await client.ioctl(group, abi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID_A))).errno, 'EMFILE');
    assert.deepEqual(ops.calls, ['open', 'close']);
    assert.equal(registration.inUse, false);
    assert.equal((await client.ioctl(group, abi.VFIO_GROUP_UNSET_CONTAINER)).errno, '0');
  });

  it('an openDevice() that fails leaves nothing open', async () => {
    const { client, ops, registration } = setUp();
    ops.openDevice = () => {
      throw new Errno('EIO');
    };
    const container = client.openContainer();
    const group = (await client.openGroup(registration)).ret;
    await client.ioctl(group, abi.VFIO_GROUP_SET_CONTAINER, int32(container));
    await client.ioctl(container, abi.VFIO_SET_IOMMU, 3n);
    assert.equal((await client.ioctl(group, abi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID_A))).errno, 'EIO');
    assert.equal(registration.inUse, false);
    assert.equal((await client.ioctl(group, abi.VFIO_GROUP_UNSET_CONTAINER)).errno, '0');
  });

  it('BIND_IOMMUFD on a device fd of a group is EINVAL, EFAULT first', async () => {
    const { client, registration } = setUp();
    const { device } = await client.openDevice(registration);
    assert.equal((await client.ioctl(device, abi.VFIO_DEVICE_BIND_IOMMUFD, 8n)).errno, 'EFAULT');
    const bind = abi.vfio_device_bind_iommufd.encode({ argsz: 16, iommufd: 3 });
    assert.equal((await client.ioctl(device, abi.VFIO_DEVICE_BIND_IOMMUFD, bind)).errno, 'EINVAL');
  });
});

describe('containers', () => {
  it('lose their mappings with the last group, not before', async () => {
    const { client, registration } = setUp();
    const b = client.vfio.register({ name: UUID_B }, new FakeDevice());
    const { container, group, device } = await client.openDevice(registration);
    const groupB = (await client.openGroup(b)).ret;
    expect0(await client.ioctl(groupB, abi.VFIO_GROUP_SET_CONTAINER, int32(container)));
    expect0(await mapDma(client, container, 0x1000n, client.caller.allocate(4096)));
    await client.close(device);
    await client.close(group);
    assert.equal((await mapDma(client, container, 0x1000n, 0n)).errno, 'EEXIST');
    await client.close(groupB);
    assert.equal((await mapDma(client, container, 0x1000n, 0n)).errno, 'EINVAL');
  });

  it('serve several devices with the same mappings', async () => {
    const { client, ops, registration } = setUp();
    const opsB = new FakeDevice();
    const b = client.vfio.register({ name: UUID_B }, opsB);
    const { container } = await client.openDevice(registration);
    const groupB = (await client.openGroup(b)).ret;
    expect0(await client.ioctl(groupB, abi.VFIO_GROUP_SET_CONTAINER, int32(container)));
    expect0(await client.ioctl(groupB, abi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID_B)));
    const page = client.caller.allocate(4096);
    expect0(await mapDma(client, container, 0x1000n, page));
    ops.dma?.write(0x1000n, Uint8Array.of(1));
    assert.deepEqual(opsB.dma?.read(0x1000n, 1), Uint8Array.of(1));
  });
});

describe('removal', () => {
  it('ends at once when nothing but the group is open, and leaves the group fd with ENODEV', async () => {
    const { client, registration } = setUp();
    const container = client.openContainer();
    const group = (await client.openGroup(registration)).ret;
    await client.ioctl(group, abi.VFIO_GROUP_SET_CONTAINER, int32(container));
    assert.equal(registration.unregister(), undefined);
    registration.release();
    const status = abi.vfio_group_status.encode({ argsz: 8 });
    assert.equal((await client.ioctl(group, abi.VFIO_GROUP_GET_STATUS, status)).errno, 'ENODEV');
    assert.equal((await client.ioctl(group, abi.VFIO_GROUP_UNSET_CONTAINER)).errno, 'EINVAL');
    assert.equal((await client.ioctl(group, abi.VFIO_GROUP_SET_CONTAINER, int32(container))).errno, 'ENODEV');
    assert.equal((await client.ioctl(group, abi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID_A))).errno, 'ENODEV');
    assert.equal((await client.ioctl(container, abi.VFIO_IOMMU_GET_INFO, 0n)).errno, 'EINVAL');
    assert.equal((await client.openGroup(registration)).errno, 'ENODEV');
  });

  it('waits for the last device fd, which works until it is closed', async () => {
    const { client, ops, registration } = setUp();
    const { group, device } = await client.openDevice(registration);
    let ended = false;
    const wait = registration.unregister()?.then(() => (ended = true));
    assert.ok(wait !== undefined);
    assert.deepEqual(ops.calls, ['open', 'request 0']);
    assert.equal((await client.ioctl(group, abi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID_A))).errno, 'ENODEV');
    assert.throws(() => registration.openCdev(client.request), { code: 'ENODEV' });
    const probe = abi.vfio_device_feature.encode({ argsz: 8, flags: abi.VFIO_DEVICE_FEATURE_PROBE | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP });
    assert.equal((await client.ioctl(device, abi.VFIO_DEVICE_FEATURE, probe)).errno, '0');
    assert.throws(() => registration.release(), { code: 'EBUSY' });
    assert.equal(ended, false);
    await client.close(device);
    await wait;
    assert.equal(ended, true);
    registration.release();
  });
});
