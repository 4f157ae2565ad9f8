/** QmpError: what a command handler throws to make an error reply. Source: qapi/error.json: QapiErrorClass. */
export type QmpErrorClass = 'GenericError' | 'CommandNotFound' | 'DeviceNotActive' | 'DeviceNotFound' | 'KVMMissingCap';

export class QmpError extends Error {
  override readonly name = 'QmpError';
  /** `class` on the wire. */
  readonly errorClass: QmpErrorClass;

  constructor(desc: string, errorClass: QmpErrorClass = 'GenericError') {
    super(desc);
    this.errorClass = errorClass;
  }
}
