/** Our parsers of option values as commander calls them: for options that are given once, and for repeatable ones. */
import { InvalidArgumentError } from 'commander';
import { CliError } from './errors.js';

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
