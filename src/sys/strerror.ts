/** strerror(3): the sentence that C programs print for an errno. */
import koffi from 'koffi';

const cStrerror = koffi.load(null).func('strerror', 'const char *', ['int']) as (errno: number) => string;

/** `Device or resource busy`. */
export const strerror = (errno: number): string => cStrerror(errno);
