'use strict';

/*
 * Lints an OpenAPI document with the rules of Redocly's recommended-strict
 * set, and prints TAP: one line for the document, problems as comments.
 */

const path = require('node:path');
const { lint, createConfig } = require('@redocly/openapi-core');

const RULES = {
  // the API is served by the reader's own gateway
  'no-server-example.com': 'off',
  'operation-description': 'off',
  'tag-description': 'error',
  'no-invalid-media-type-examples': {
    severity: 'error',
    allowAdditionalProperties: true,
  },
  'no-invalid-schema-examples': {
    severity: 'error',
    allowAdditionalProperties: true,
  },
  'no-http-verbs-in-paths': 'error',
  'no-identical-paths': 'error',
  'operation-operationId': 'error',
  'operation-operationId-unique': 'error',
  'operation-singular-tag': 'error',
  'operation-tag-defined': 'error',
  'parameter-description': 'error',
  'path-params-defined': 'error',
  'paths-kebab-case': 'error',
  'response-contains-header': {
    severity: 'error',
    names: { '2xx': ['Cache-Control'], '4xx': ['Cache-Control'] },
  },
};

async function main() {
  const ref = path.resolve(process.argv[2]);
  const config = await createConfig({
    extends: ['recommended-strict'],
    rules: RULES,
  });
  const problems = (await lint({ ref, config })).filter((p) => !p.ignored);
  const name = path.relative(path.join(__dirname, '..', '..'), ref);

  console.log('1..1');
  console.log(`${problems.length ? 'not ok' : 'ok'} 1 - ${name} is linted`);

  for (const p of problems) {
    const at = p.location[0];
    const line = at.start ? at.start.line : 0;
    console.log(`# ${p.severity}: ${p.message.trim().replace(/\n/g, '\n#   ')}`);
    console.log(`#   at ${at.pointer || ''} ${line ? `line ${line}` : ''}` +
                ` (${p.ruleId})`);
  }

  process.exitCode = problems.length ? 1 : 0;
}

main().catch((e) => {
  console.log(`not ok 1 - the linter failed: ${e.stack}`);
  process.exitCode = 1;
});
