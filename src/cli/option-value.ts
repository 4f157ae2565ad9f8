/** Parsers of option values: from a list of words; and all of ours as commander calls them, for options that are given once or repeatedly. */
import { InvalidArgumentError } from 'commander';
import { CliError, usage } from './errors.js';

/** Wrong values: commander prints our sentence after its own. */
export function value<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw error instanceof CliError ? new InvalidArgumentError(error.message) : error;
    }
  };
}

/** Repeatable: the values in the order in which they were given. */
export function many<T>(parse: (text: string) => T): (text: string, before: T[] | undefined) => T[] {
  const one = value(parse);
  return (text, before = []) => [...before, one(text)];
}

/** For an option whose value is one of a few words. */
export function oneOf<T extends string>(option: string, known: readonly T[]): (text: string) => T {
  return (text) => {
    const found = known.find((one) => one === text);
    if (found === undefined) throw usage(`${option} is one of ${known.join(', ')}, not '${text}'`);
    return found;
  };
}
