/** Descriptors that clients pass. Source: QEMU's monitor/fds.c: qmp_getfd(), qmp_closefd(). */
import { QmpError } from '../qmp/error.js';
import type { CommandTable } from './context.js';
import { text } from './context.js';

export function descriptorCommands(): CommandTable {
  return {
    'getfd': {
      arguments: { fdname: 'str' },
      run: ({ fdname }, { descriptors, takeDescriptor }) => {
        const name = text(fdname);
        const fd = takeDescriptor();
        if (fd === undefined) throw new QmpError('No file descriptor supplied via SCM_RIGHTS');
        if (/^\d/.test(name)) {
          fd.close();
          throw new QmpError("Parameter 'fdname' expects a name not starting with a digit");
        }
        descriptors.set(name, fd);
        return {};
      },
    },
    'closefd': {
      arguments: { fdname: 'str' },
      run: ({ fdname }, { descriptors }) => {
        const fd = descriptors.take(text(fdname));
        if (fd === undefined) throw new QmpError(`File descriptor named '${text(fdname)}' not found`);
        fd.close();
        return {};
      },
    },
  };
}
