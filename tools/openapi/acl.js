'use strict';

/*
 * The Redis users of docs/security.md, as the lines there say.
 */

const { execFileSync } = require('node:child_process');

const PASSWORD = 'CHANGE-ME';

function lines(text) {
  return text.split('\n').filter((line) => /^ACL SETUSER /.test(line))
    .map((line) => line.split(/\s+/).map((word) =>
      (word.startsWith('>') ? `>${PASSWORD}` : word)));
}

/* Runs one command as a user (undefined: the default one). */

function run(socket, user, ...command) {
  const as = user ? ['--user', user, '--pass', PASSWORD, '--no-auth-warning']
    : [];

  return execFileSync('redis-cli', ['-s', socket, ...as, ...command],
                      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    .trim();
}

/* Names of the commands that a line grants. */

function granted(line) {
  return line.filter((word) => /^\+/.test(word)).map((word) => word.slice(1));
}

/* Names of the commands that were carried out since CONFIG RESETSTAT. */

function used(socket) {
  return [...run(socket, undefined, 'INFO', 'commandstats')
    .matchAll(/^cmdstat_([^:]+):calls=(\d+)/mg)]
    .filter((m) => m[2] !== '0').map((m) => m[1]);
}

module.exports = { PASSWORD, lines, run, granted, used };
