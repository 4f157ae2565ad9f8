/** Somebody to whom nobody can connect: a TCP port whose queue of connections is full. */
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { Child } from '../../e2e/child.js';

const PROGRAM = `const server = require('node:net').createServer();
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  require('node:fs').writeSync(1, server.address().port + '\\n');
  process.kill(process.pid, 'SIGSTOP');
});`;

/** What a backlog of 1 holds in Linux: one more than it says. */
const QUEUE = 2;

export async function deafListener(): Promise<{ readonly uri: string; readonly end: () => Promise<void> }> {
  const child = new Child('the deaf listener', [process.execPath, '-e', PROGRAM]);
  const sockets: Socket[] = [];
  const end = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await child.stop('SIGKILL');
  };
  try {
    const port = Number(await child.line(10, /^\d+$/));
    for (let n = 0; n < QUEUE; n++) {
      sockets.push(await new Promise<Socket>((resolve, reject) => {
        const socket = createConnection({ host: '127.0.0.1', port });
        socket.once('error', reject).once('connect', () => resolve(socket));
      }));
    }
    return { uri: `tcp:127.0.0.1:${port}`, end };
  } catch (error) {
    await end();
    throw error;
  }
}
