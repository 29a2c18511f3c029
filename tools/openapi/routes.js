'use strict';

/*
 * The routes of the API as the table in C has them: a path, a right, and a
 * function or NULL for GET, POST, PATCH and DELETE.
 */

const ENTRY = new RegExp(
  '\\{\\s*ngx_string\\("([^"]+)"\\),\\s*(\\w+),\\s*'
  + '(\\w+),\\s*(\\w+),\\s*(\\w+),\\s*(\\w+)\\s*\\}', 'g');

const METHODS = ['GET', 'POST', 'PATCH', 'DELETE'];

function routes(text) {
  const found = [];
  const table = /_api_routes\[\w*\]\s*=\s*\{(.*?)\n\};/s.exec(text);

  for (const entry of table ? table[1].matchAll(ENTRY) : []) {
    const path = entry[1].replace('{o}', '{organization}')
      .replace('{g}', '{group}');

    entry.slice(3).forEach((handler, i) => {
      if (handler !== 'NULL') {
        found.push(`${METHODS[i]} ${path}`);
      }
    });
  }

  return found;
}

module.exports = { routes };
