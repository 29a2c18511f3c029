'use strict';

/*
 * docs/openapi.yaml as the checks see it: operations with their references
 * resolved, and a validator for each schema.
 */

const fs = require('node:fs');
const yaml = require('js-yaml');
const Ajv2020 = require('ajv/dist/2020').default;
const addFormats = require('ajv-formats').default;

const METHODS = ['get', 'post', 'patch', 'put', 'delete'];

function load(file) {
  const text = fs.readFileSync(file, 'utf8');
  const doc = yaml.load(text, { schema: yaml.JSON_SCHEMA });
  const ajv = new Ajv2020({ strict: true, allErrors: true,
                            strictRequired: false, allowUnionTypes: true,
                            strictTypes: false });
  addFormats(ajv);

  function resolve(node) {
    while (node && node.$ref) {
      node = node.$ref.slice(2).split('/').reduce(
        (o, key) => o[key.replace(/~1/g, '/').replace(/~0/g, '~')], doc);
    }
    return node;
  }

  /* Schemas keep their references to one another, in a document of theirs. */
  const rewrite = (value, base) => JSON.parse(
    JSON.stringify(value).replace(/"#\/components\/schemas\//g,
                                  `"${base}#/$defs/`));

  ajv.addSchema(rewrite({ $id: 'doc:/', $defs: doc.components.schemas }, ''));

  const compiled = new Map();

  function validator(schema) {
    if (!compiled.has(schema)) {
      compiled.set(schema, ajv.compile(rewrite(schema, 'doc:/')));
    }
    return compiled.get(schema);
  }

  function complaints(schema, value) {
    const valid = validator(schema);
    return valid(value) ? [] : valid.errors.map((e) =>
      `${e.instancePath || '/'} ${e.message} ${JSON.stringify(e.params)}`);
  }

  const operations = [];

  for (const [path, item] of Object.entries(doc.paths)) {
    for (const method of METHODS) {
      const o = item[method];
      if (!o) {
        continue;
      }
      const parameters = [...(item.parameters || []), ...(o.parameters || [])]
        .map(resolve);
      const body = resolve(o.requestBody);
      const responses = {};

      for (const [status, response] of Object.entries(o.responses)) {
        responses[status] = resolve(response);
      }

      operations.push({ id: o.operationId, method: method.toUpperCase(), path,
                        parameters, body, responses });
    }
  }

  return { doc, operations, resolve, complaints };
}

module.exports = { load };
