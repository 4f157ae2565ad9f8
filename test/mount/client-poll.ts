/** Opens the file and waits in poll(2) until it is readable. */
import { POLLIN, openFd, pollFd } from '../../src/sys/io.js';

console.log(`revents ${pollFd(openFd(process.argv[2] ?? '', 0), POLLIN, 10_000)}`);
