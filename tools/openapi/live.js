'use strict';

/*
 * Compares docs/openapi.yaml with a running module, both ways, and prints TAP.
 * The module uses the Redis users of docs/security.md, so these are tried too.
 *
 * Every answer is checked by call(): its status must be documented for that
 * operation, its headers and body must be as documented, and no member may be
 * there that is not.  What was seen is counted, and at the end everything that
 * the document names must have been seen: operations, statuses, parameters,
 * members of bodies, words of enumerations, null where null may be.
 */

const fs = require('node:fs');
const path = require('node:path');
const { load } = require('./spec.js');
const { Servers, sleep, root } = require('./servers.js');
const { routes } = require('./routes.js');
const acl = require('./acl.js');

const spec = load(path.join(root, 'docs/openapi.yaml'));
const byId = new Map(spec.operations.map((o) => [o.id, o]));
const servers = new Servers();

let count = 0;
let failures = 0;

function ok(pass, name, why = []) {
  count++;
  failures += pass ? 0 : 1;
  console.log(`${pass ? 'ok' : 'not ok'} ${count} - ${name}`);
  if (!pass) {
    for (const line of [].concat(why)) {
      console.log(`#   ${String(line).replace(/\n/g, '\n#   ')}`);
    }
  }
}


/* --- what was seen ------------------------------------------------------ */

const seenStatus = new Map();           // operation id -> Set of statuses
const seenParameter = new Set();        // "operation parameter"
const seenMember = new Set();           // "operation member", of requests
const seenValue = new Map();            // member of a token -> Set of values

function note(map, key, value) {
  if (!map.has(key)) {
    map.set(key, new Set());
  }
  map.get(key).add(value);
}

function noteToken(token) {
  for (const [key, value] of Object.entries(token)) {
    note(seenValue, key, value === null ? 'null' : 'value');
    if (['level', 'role', 'status', 'admin'].includes(key)) {
      note(seenValue, key, `=${value}`);
    }
  }
}


/* --- one request -------------------------------------------------------- */

const bearer = (token) => ['Authorization', `Bearer ${token}`];
const asRoot = () => bearer(servers.credential);
const JSON_TYPE = ['Content-Type', 'application/json'];

function fill(template, params) {
  return template.replace(/\{(\w+)\}/g, (all, name) => params[name]);
}

/*
 * how: params, query, as (headers of the caller), headers, body (object) or
 * raw (string), expect (status), server.  Returns status, headers and json.
 */

async function call(id, how = {}) {
  const o = byId.get(id);
  const params = { organization: 'acme', group: 'dev', ...how.params };
  const query = how.query ? `?${how.query}` : '';
  const target = `/api${fill(o.path, params)}${query}`;
  const raw = how.raw !== undefined ? how.raw
    : how.body !== undefined ? JSON.stringify(how.body) : undefined;
  const type = raw === undefined || how.type === null ? []
    : ['Content-Type', how.type || 'application/json'];
  const answer = await servers.request(
    how.server || 'nginx', o.method, target,
    [...(how.as || asRoot()), ...type, ...(how.headers || [])], raw);
  const wrong = [];
  const documented = o.responses[String(answer.status)];

  note(seenStatus, id, String(answer.status));
  for (const pair of (how.query || '').split('&').filter(Boolean)) {
    seenParameter.add(`${id} ${pair.split('=')[0]}`);
  }
  if (raw !== undefined && answer.status < 300) {
    for (const member of Object.keys(JSON.parse(raw || '{}'))) {
      seenMember.add(`${id} ${member}`);
    }
  }

  if (how.expect !== undefined && answer.status !== how.expect) {
    wrong.push(`expected ${how.expect}`);
  }
  if (!documented) {
    wrong.push(`${answer.status} is not documented for ${id}`);
  } else {
    wrong.push(...checkAnswer(documented, answer));
  }

  ok(wrong.length === 0,
     `${id}: ${how.name || `${answer.status}`}`,
     [`${o.method} ${target} ${raw === undefined ? '' : raw.slice(0, 200)}`,
      `${answer.status} ${answer.text.slice(0, 400)}`, ...wrong]);

  return answer;
}

function checkAnswer(documented, answer) {
  const wrong = [];

  for (const [name, reference] of Object.entries(documented.headers || {})) {
    const header = spec.resolve(reference);
    const value = answer.headers[name.toLowerCase()];
    if (value === undefined) {
      if (header.required) {
        wrong.push(`no header ${name}`);
      }
    } else {
      wrong.push(...spec.complaints(header.schema, value)
        .map((c) => `header ${name}: ${c}`));
    }
  }

  if (!documented.content) {
    if (answer.text !== '') {
      wrong.push('a body where none is documented');
    }
    return wrong;
  }

  const type = (answer.headers['content-type'] || '').split(';')[0];
  const media = documented.content[type];

  if (!media) {
    wrong.push(`Content-Type ${type} is not documented`);
    return wrong;
  }

  try {
    answer.json = JSON.parse(answer.text);
  } catch (e) {
    wrong.push(`not JSON: ${e.message}`);
    return wrong;
  }

  wrong.push(...spec.complaints(media.schema, answer.json));

  if (type === 'application/problem+json'
      && answer.json.status !== answer.status)
  {
    wrong.push(`the body says status ${answer.json.status}`);
  }
  for (const t of answer.json.access_tokens
                  || (answer.json.technical_user ? [answer.json] : []))
  {
    noteToken(t);
  }
  return wrong;
}


/* --- fixtures ----------------------------------------------------------- */

const inDays = (n) =>
  new Date(Date.now() + n * 86400e3).toISOString().slice(0, 19) + 'Z';

const LEVELS = {
  Organization: { organization: 'acme' },
  Group: { organization: 'acme', group: 'dev' },
};

async function create(level, more = {}, how = {}) {
  const answer = await call(`create${level}Token`, {
    body: { name: 'fixture', expires_at: inDays(30), ...more },
    expect: 201,
    ...how,
  });
  return answer.json || {};
}


/* --- both ways with the C code ------------------------------------------ */

function routesInC() {
  const dir = path.join(root, 'ngx_http_access_token_module');

  return fs.readdirSync(dir).filter((name) => name.endsWith('.c'))
    .flatMap((name) => routes(fs.readFileSync(path.join(dir, name), 'utf8')));
}

function compareRoutes() {
  const inYaml = new Set(spec.operations.map((o) => `${o.method} ${o.path}`));
  const inC = new Set(routesInC());
  const onlyYaml = [...inYaml].filter((r) => !inC.has(r));
  const onlyC = [...inC].filter((r) => !inYaml.has(r));

  ok(inC.size > 0 && onlyC.length === 0,
     'every route in C is in openapi.yaml', onlyC);
  ok(onlyYaml.length === 0, 'every route in openapi.yaml is in C', onlyYaml);
}


/* --- what holds for every operation ------------------------------------- */

async function everyOperation(admin, absent) {
  const bad = 'at_00000000000000000000000000000000000000000000000000000000ab';

  for (const o of spec.operations) {
    const self = o.path.startsWith('/self');
    const as = self ? bearer(admin.token) : asRoot();
    const params = { id: absent };
    const body = o.body ? {} : undefined;

    await call(o.id, { params, body, as: [], expect: 401,
                       name: 'no credential' });
    await call(o.id, { params, body, as: bearer(bad), expect: 401,
                       name: 'a bad token' });
    await call(o.id, { params, body, as: [as[0], `${as[1]}, ${as[1]}`],
                       expect: 400, name: 'two credentials' });

    if (o.id === 'getCaller') {
      await call(o.id, {
        expect: 403, name: 'an identity whose name is too long',
        as: ['X-Test-User', 'x'.repeat(124)],
      });
    } else if (self) {
      await call(o.id, { body, expect: 403, name: 'root presents no token' });
      await call(o.id, {
        body, expect: 403, name: 'an identity presents no token',
        as: ['X-Test-User', 'alice', 'X-Test-Roles', 'organization_admin:acme',
             'X-Requested-With', 'test'],
      });
    } else {
      await call(o.id, {
        params, body, expect: 403, name: 'an identity without rights',
        as: ['X-Test-User', 'bob', 'X-Test-Roles', 'group_user:acme/dev',
             'X-Requested-With', 'test'],
      });
    }

    if (o.path.includes('{organization}')) {
      await call(o.id, { params: { ...params, organization: '.acme' }, body,
                         expect: 404, name: 'a bad id of an organization' });
    }
    if (o.path.includes('{group}')) {
      await call(o.id, { params: { ...params, group: 'd%65v' }, body,
                         expect: 404, name: 'an escape in the path' });
    }
    if (o.path.includes('{id}')) {
      await call(o.id, { params: { id: 'short' }, body, expect: 404,
                         name: 'a bad id of a token' });
      await call(o.id, {
        params, expect: 404, name: 'an absent token',
        body: o.method === 'PATCH' ? { name: 'x' } : body,
      });
    }
    if (o.body) {
      await badBodies(o, as, params);
    }
    if (o.parameters.some((p) => p.in === 'query')) {
      await badQueries(o);
    }
  }
}

async function badBodies(o, as, params) {
  const send = (more) => call(o.id, { params, as, ...more });
  const deep = '['.repeat(40) + ']'.repeat(40);

  await send({ raw: '{', expect: 400, name: 'not JSON' });
  await send({ raw: '{"name":"a","name":"b"}', expect: 400,
               name: 'a member twice' });
  await send({ raw: `{"name":${deep}}`, expect: 400, name: 'nested deeply' });
  await send({ raw: '{}', type: 'text/plain', expect: 415,
               name: 'text/plain' });
  await send({ raw: '{}', type: null, expect: 415,
               name: 'a body without Content-Type' });
  await send({ raw: `{"name":"${'x'.repeat(65536)}"}`, expect: 413,
               name: 'a body over 64 KiB' });
  await send({ body: { nonsense: 1 }, expect: 422, name: 'an unknown member' });
  await send({ raw: '[]', expect: 422, name: 'an array' });

  const schema = spec.resolve(
    Object.values(o.body.content)[0].schema);

  for (const member of Object.keys(schema.properties || {})) {
    const answer = await send({ body: { [member]: {} }, expect: 422,
                                name: `a bad ${member}` });
    const errors = (answer.json && answer.json.errors) || [];
    ok(errors.some((e) => e.pointer === `/${member}`),
       `${o.id}: the error points to /${member}`, answer.text);
  }

  if (schema.required && schema.required.length) {
    const answer = await send({ body: {}, expect: 422, name: 'an empty object' });
    const pointers = ((answer.json && answer.json.errors) || [])
      .map((e) => e.pointer);
    ok(schema.required.every((m) => pointers.includes(`/${m}`)),
       `${o.id}: every required member is named`, answer.text);
  }
}

async function badQueries(o) {
  for (const p of o.parameters.filter((q) => q.in === 'query')) {
    const bad = { limit: '101', cursor: '%00', status: 'asleep', role: 'king',
                  search: '' }[p.name];
    const answer = await call(o.id, { query: `${p.name}=${bad}`, expect: 422,
                                      name: `a bad ${p.name}` });
    ok(((answer.json && answer.json.errors) || [])
      .some((e) => e.parameter === p.name),
       `${o.id}: the error names the parameter ${p.name}`, answer.text);
  }
  await call(o.id, { query: 'limit=1&limit=1', expect: 422,
                     name: 'a parameter twice' });
  await call(o.id, { query: 'nonsense=1', expect: 422,
                     name: 'an unknown parameter' });
}

async function everyPath(absent) {
  const paths = new Map();

  for (const o of spec.operations) {
    paths.set(o.path, [...(paths.get(o.path) || []), o.method]);
  }

  for (const [template, methods] of paths) {
    const target = `/api${fill(template, { organization: 'acme', group: 'dev',
                                           id: absent })}`;
    const allow = ['OPTIONS', ...methods,
                   ...(methods.includes('GET') ? ['HEAD'] : [])].sort();
    const allowed = (a) => (a.headers.allow || '').split(/,\s*/).sort();

    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      if (methods.includes(method)) {
        continue;
      }
      const a = await servers.request('nginx', method, target, asRoot());
      const wrong = [];
      try {
        wrong.push(...spec.complaints(spec.doc.components.schemas.Problem,
                                      JSON.parse(a.text)));
      } catch (e) {
        wrong.push(e.message);
      }
      ok(a.status === 405 && a.headers['cache-control'] === 'no-store'
         && String(allowed(a)) === String(allow) && wrong.length === 0,
         `${template}: ${method} is 405 with Allow`,
         [a.status, a.headers.allow, a.text, ...wrong]);
    }

    const a = await servers.request('nginx', 'OPTIONS', target, []);
    ok(a.status === 204 && String(allowed(a)) === String(allow) && !a.text,
       `${template}: OPTIONS is 204 with Allow`,
       [a.status, a.headers.allow, a.text]);

    if (methods.includes('GET')) {
      const get = await servers.request('nginx', 'GET', target, asRoot());
      const head = await servers.request('nginx', 'HEAD', target, asRoot());
      ok(head.status === get.status && head.text === ''
         && head.headers['content-type'] === get.headers['content-type'],
         `${template}: HEAD is GET without the body`,
         [get.status, head.status, head.text]);
    }

    for (const [name, wrong] of [
      ['a trailing slash', `${target}/`],
      ['an empty segment', target.replace('/api/', '/api//')],
      ['a dot segment', target.replace('/api/', '/api/./')],
      ['an escape', target.replace(/.$/, (c) =>
        `%${c.charCodeAt(0).toString(16)}`)],
    ]) {
      const b = await servers.request('nginx', 'GET', wrong, asRoot());
      ok(b.status === 404 && /problem\+json/.test(b.headers['content-type']),
         `${template}: ${name} is 404`, [wrong, b.status, b.text]);
    }
  }
}


/* --- bodies: the schema and the API agree -------------------------------- */

/*
 * Each body is judged by the schema and by the API.  "api": only the API can
 * know (the schema lets it pass).
 */

const CREATE_BODIES = [
  ['the least', {}, true],
  ['admin', { admin: true }, true],
  ['a description', { description: 'line\nand\ttab' }, true],
  ['a null description', { description: null }, true],
  ['the longest name', { name: 'ä'.repeat(100) }, true],
  ['the longest description', { description: '€'.repeat(255) }, true],
  ['a date', { expires_at: inDays(20).slice(0, 10) }, true],
  ['an offset', { expires_at: inDays(20).replace('Z', '+05:30') }, true],
  ['a fraction', { expires_at: inDays(20).replace('Z', '.250Z') }, true],
  ['no name', { name: undefined }, false],
  ['an empty name', { name: '' }, false],
  ['a long name', { name: 'x'.repeat(101) }, false],
  ['a name of another type', { name: 7 }, false],
  ['a null name', { name: null }, false],
  ['a name of spaces', { name: '  ' }, 'api'],
  ['a control character in the name', { name: 'a\u0007' }, 'api'],
  ['a control character in the description', { description: 'a\u0007' },
   'api'],
  ['a long description', { description: 'x'.repeat(256) }, false],
  ['a description of another type', { description: [] }, false],
  ['no expiry', { expires_at: undefined }, false],
  ['a null expiry', { expires_at: null }, 'api'],
  ['an impossible date', { expires_at: '2027-02-30' }, false],
  ['a time without a date', { expires_at: '12:00:00Z' }, false],
  ['a number for an expiry', { expires_at: 1893456000 }, false],
  ['a time without an offset', { expires_at: inDays(20).slice(0, 19) }, false],
  ['the past', { expires_at: inDays(-1) }, 'api'],
  ['beyond the maximum lifetime', { expires_at: inDays(400) }, 'api'],
  ['admin of another type', { admin: 'yes' }, false],
  ['a null admin', { admin: null }, false],
  ['an unknown member', { Name: 'x' }, false],
];

async function createBodies() {
  const schema = byId.get('createGroupToken').body
    .content['application/json'].schema;

  for (const [name, more, verdict] of CREATE_BODIES) {
    const body = JSON.parse(JSON.stringify(
      { name: 'n', expires_at: inDays(20), ...more }));
    const valid = spec.complaints(schema, body).length === 0;

    ok(valid === (verdict !== false), `the schema on ${name}`,
       JSON.stringify(body));
    await call('createGroupToken', { body, expect: verdict === true ? 201 : 422,
                                     name });
  }
}

/* The examples of the document are sent as they stand, but for the dates. */

async function examples(server, id) {
  for (const o of spec.operations.filter((p) => p.body)) {
    for (const [type, media] of Object.entries(o.body.content)) {
      for (const [name, example] of Object.entries(media.examples || {})) {
        const body = JSON.parse(JSON.stringify(spec.resolve(example).value));
        const later = inDays(40);

        if (body.expires_at) {
          body.expires_at = /^....-..-..$/.test(body.expires_at)
            ? later.slice(0, 10) : later.replace('Z', '+01:00');
        }
        ok(spec.complaints(media.schema, spec.resolve(example).value)
          .length === 0, `${o.id}: the example ${name} fits its schema`);

        if (!o.path.startsWith('/self')) {
          const level = o.path.includes('{group}') ? 'Group' : 'Organization';
          await call(o.id, { params: { id: id[level] }, body, type,
                             expect: o.id.startsWith('create') ? 201 : 200,
                             name: `the example ${name}` });
        }
      }
    }
  }
}


/* --- the life of tokens -------------------------------------------------- */

async function life(level) {
  const id = (verb, plural) => `${verb}${level}Token${plural || ''}`;
  const made = await call(id('create'), {
    body: { name: 'life', description: 'of a token', expires_at: inDays(30),
            admin: false },
    expect: 201, name: 'a token',
  });
  const params = { id: made.json.id };
  const where = made.headers.location;

  ok(where === `/api${fill(byId.get(id('get')).path,
                           { ...LEVELS[level], ...params })}`,
     `${id('create')}: Location is the path of the token`, where);

  const shown = await call(id('get'), { params, expect: 200 });
  const { token, ...rest } = made.json;
  ok(JSON.stringify(shown.json) === JSON.stringify(rest),
     `${id('get')}: shows what create answered, but not the token`,
     shown.text);

  await call(id('change'), {
    params, expect: 200, name: 'all members',
    body: { name: 'changed', description: null, expires_at: inDays(60) },
  });
  await call(id('change'), {
    params, expect: 200, name: 'merge-patch', type: 'application/merge-patch+json',
    body: { description: 'x' },
  });
  await call(id('change'), { params, body: {}, expect: 422,
                             name: 'no member at all' });
  await call(id('revoke'), { params, expect: 200 });
  await call(id('revoke'), { params, body: {}, expect: 200, name: 'again' });
  await call(id('rotate'), { params, expect: 409, name: 'a revoked token' });
  await call('getSelf', { as: bearer(token), expect: 401, name: 'revoked' });
  await call(id('list', 's'), { query: 'status=revoked', expect: 200 });
  await call(id('activate'), { params, expect: 200 });
  await call(id('activate'), { params, body: {}, expect: 200, name: 'again' });

  const rotated = await call(id('rotate'), {
    params, body: { grace_seconds: 60 }, expect: 200, name: 'with grace',
  });
  await call('getSelf', { as: bearer(token), expect: 200,
                          name: 'the token before, within the grace' });
  await call('getSelf', { as: bearer(rotated.json.token), expect: 200,
                          name: 'the new token' });
  const again = await call(id('rotate'), { params, expect: 200,
                                           name: 'without a body' });
  await call('getSelf', { as: bearer(rotated.json.token), expect: 401,
                          name: 'the token before, without grace' });

  /* self */
  const self = (t) => ({ as: bearer(t) });
  const own = await call('rotateSelf', { ...self(again.json.token), expect: 200,
                                         body: { grace_seconds: 0 } });
  await call('revokeSelf', { ...self(own.json.token), expect: 200 });
  await call('getSelf', { ...self(own.json.token), expect: 401,
                          name: 'after revokeSelf' });
  await call(id('activate'), { params, expect: 200 });
  await call('deleteSelf', { ...self(own.json.token), expect: 204 });
  await call(id('get'), { params, expect: 404, name: 'after deleteSelf' });

  const other = await create(level);
  await call(id('delete'), { params: { id: other.id }, expect: 204 });
  await call(id('delete'), { params: { id: other.id }, expect: 404,
                             name: 'again' });
}

async function expiry(level) {
  const id = (verb) => `${verb}${level}Token`;
  const soon = new Date(Date.now() + 2000).toISOString().slice(0, 19) + 'Z';
  const made = await create(level, { expires_at: soon });
  const params = { id: made.id };

  await sleep(Date.parse(soon) + 1200 - Date.now());

  const shown = await call(id('get'), { params, expect: 200, name: 'expired' });
  ok(shown.json.status === 'expired', `${id('get')}: status expired`,
     shown.text);
  await call(`${id('list')}s`, { query: 'status=expired', expect: 200 });
  await call(id('activate'), { params, expect: 409, name: 'an expired token' });
  await call(id('rotate'), { params, expect: 409, name: 'an expired token' });
  await call(id('change'), { params, body: { expires_at: inDays(2) },
                             expect: 200, name: 'extends an expired token' });
}

async function lists(level) {
  const id = `list${level}Tokens`;

  for (let i = 0; i < 5; i++) {
    await create(level, { name: `needle ${i}`, admin: i % 2 === 0 });
    await sleep(5);                     // ids sort by the millisecond
  }

  const seen = [];
  let cursor = null;

  do {
    const page = await call(id, {
      query: `limit=2&search=NEEDLE${cursor ? `&cursor=${cursor}` : ''}`,
      expect: 200, name: 'a page',
    });
    seen.push(...page.json.access_tokens.map((t) => t.name));
    cursor = page.json.next_cursor;
  } while (cursor);

  ok(String(seen) === '4,3,2,1,0'.replace(/\d/g, 'needle $&'),
     `${id}: pages together are complete, newest first`, seen);

  for (const role of ['admin', 'user']) {
    const page = await call(id, { query: `role=${role}&status=active`,
                                  expect: 200 });
    ok(page.json.access_tokens.length > 0
       && page.json.access_tokens.every((t) => t.admin === (role === 'admin')
                                               && t.status === 'active'),
       `${id}: role=${role} filters`, page.text.slice(0, 400));
  }
}

async function owners() {
  await create('Organization', {}, { params: { organization: 'zenith' } });
  await create('Group', {}, { params: { group: 'ops' } });

  const first = await call('listOrganizations', { query: 'limit=1',
                                                  expect: 200 });
  const second = await call('listOrganizations', {
    query: `cursor=${first.json.next_cursor}`, expect: 200,
  });
  ok(first.json.organizations[0].id === 'acme'
     && second.json.organizations[0].id === 'zenith'
     && second.json.next_cursor === null,
     'listOrganizations: pages', [first.text, second.text]);

  const one = await call('listGroups', { query: 'limit=1', expect: 200 });
  const two = await call('listGroups', {
    query: `cursor=${one.json.next_cursor}`, expect: 200,
  });
  ok(one.json.groups[0].id === 'dev' && two.json.groups[0].id === 'ops'
     && two.json.groups[0].organization === 'acme',
     'listGroups: pages', [one.text, two.text]);
}

/* Actors: who made a token and who revoked it. */

async function actors(admin) {
  const made = await create('Group', {}, { as: bearer(admin.token) });
  const revoked = await call('revokeGroupToken', {
    params: { id: made.id }, expect: 200, name: 'by an identity',
    as: ['X-Test-User', 'alice@example.com', 'X-Test-Roles',
         'organization_admin:acme', 'X-Requested-With', 'test'],
  });
  ok(made.created_by === `token:${admin.id}`
     && revoked.json.revoked_by === 'user:alice@example.com',
     'created_by and revoked_by name the actors', revoked.text);

  await call('revokeGroupToken', {
    params: { id: made.id }, expect: 403, name: 'by an identity, cross-site',
    as: ['X-Test-User', 'alice@example.com', 'X-Test-Roles',
         'organization_admin:acme', 'X-Requested-With', 'test',
         'Sec-Fetch-Site', 'cross-site'],
  });
  await call('revokeGroupToken', {
    params: { id: made.id }, expect: 403, name: 'by an identity, no header',
    as: ['X-Test-User', 'alice@example.com', 'X-Test-Roles',
         'organization_admin:acme'],
  });
}

/* What callers are told: the kinds, the roles, null where null may be. */

async function callers(tokens) {
  const schema = spec.doc.components.schemas.Caller;
  const roles = spec.doc.components.schemas.Role.enum;
  const role = (name) => ({ role: name, organization: 'acme',
                            group: /^group/.test(name) ? 'dev' : null });
  const list = roles.map((name) =>
    `${name}:acme${/^group/.test(name) ? '/dev' : ''}`).join(' ');
  const year = 365 * 86400;
  const cases = [
    ['root', 'root', asRoot(), []],
    ...tokens.map((t) => [`token:${t.id}`, 'access_token', bearer(t.token),
                          [role(t.role)]]),
    ['user:alice', 'identity',
     ['X-Test-User', 'alice', 'X-Test-Roles', `${list} reader ${list}`],
     roles.map(role)],
    ['user:bob', 'identity', ['X-Test-User', 'bob'], []],
  ];

  for (const [server, max] of [['nginx', year], ['unlimited', null]]) {
    for (const [name, kind, as, has] of cases) {
      const told = await call('getCaller', { server, as, expect: 200,
                                             name: `${name} at ${server}` });
      const want = JSON.stringify({ name, kind, roles: has,
                                    max_lifetime_seconds: max });
      ok(told.text === `${want}\n`, `getCaller: ${name} is told so`,
         [told.text, want]);
    }
  }

  const kinds = new Set(cases.map((c) => c[1]));
  ok(schema.properties.kind.enum.every((kind) => kinds.has(kind)),
     'getCaller: every kind was seen', [...kinds]);
}

async function withoutLimit() {
  const made = await call('createGroupToken', {
    server: 'unlimited', body: { name: 'for ever', expires_at: null },
    expect: 201, name: 'without an expiry',
  });
  ok(made.json.expires_at === null, 'expires_at is null', made.text);

  const limited = await create('Group');
  const changed = await call('changeGroupToken', {
    server: 'unlimited', params: { id: limited.id },
    body: { expires_at: null }, expect: 200, name: 'to no expiry',
  });
  ok(changed.json.expires_at === null, 'expires_at is null after a change',
     changed.text);
  await call('createGroupToken', { server: 'unlimited',
                                   body: { name: 'for ever' }, expect: 201,
                                   name: 'without the member expires_at' });
}

/* Replicas are to have each change, and there are none. */

async function withoutReplicas() {
  const how = { server: 'waiting', expect: 202, name: 'without replicas' };

  for (const level of Object.keys(LEVELS)) {
    const made = await create(level, {}, how);
    const id = (what) => `${what}${level}Token`;
    const params = { id: made.id };

    for (const what of ['change', 'revoke', 'activate', 'rotate', 'delete']) {
      const body = what === 'change' ? { name: 'other' } : undefined;

      await call(id(what), { ...how, params, body });
    }
  }

  const own = await create('Group', {}, how);
  const rotated = await call('rotateSelf', { ...how, as: bearer(own.token) });

  await call('revokeSelf', { ...how, as: bearer(rotated.json.token) });
  await call('activateGroupToken', { params: { id: own.id }, expect: 200 });
  await call('deleteSelf', { ...how, as: bearer(rotated.json.token) });
}

async function withoutRedis(admin, redis) {
  await servers.stop(redis);

  for (const o of spec.operations) {
    const body = !o.body ? undefined
      : o.id.startsWith('create') ? { name: 'n', expires_at: inDays(1) }
        : o.id.startsWith('change') ? { name: 'n' } : {};

    await call(o.id, {
      params: { id: admin.id }, body, expect: 503, name: 'without Redis',
      as: o.path.startsWith('/self') || o.id === 'getCaller'
        ? bearer(admin.token) : asRoot(),
    });
  }

  await call('getCaller', { expect: 200, name: 'root, without Redis' });
}


/* --- the Redis users ------------------------------------------------------ */

const API = `
  location /api/ {
    access_token_api;
    access_token_api_identity $http_x_test_user $http_x_test_roles;
  }`;

const EDGE = `
  location / {
    access_token on;
    empty_gif;
  }`;

let users;

function makeUsers() {
  const text = fs.readFileSync(path.join(root, 'docs/security.md'), 'utf8');

  users = new Map(acl.lines(text).map((line) => [line[2], line]));
  ok(users.has('edge') && users.has('admin'),
     'docs/security.md has the users edge and admin');

  for (const line of users.values()) {
    const said = acl.run(servers.file('redis.sock'), undefined, ...line);
    ok(said === 'OK', `Redis takes the line of the user ${line[2]}`, said);
  }
  acl.run(servers.file('redis.sock'), undefined, 'CONFIG', 'RESETSTAT');
}

async function checkUsers(admin) {
  const socket = servers.file('redis.sock');
  const used = acl.used(socket);
  const idle = acl.granted(users.get('admin')).filter((c) => !used.includes(c));

  ok(idle.length === 0, 'the user admin may run no command that is not used',
     idle);

  await servers.startNginx('edge', { user: 'edge', locations: EDGE });

  for (const [token, status] of [[admin.token, 200],
                                 [`${admin.token}x`, 401]]) {
    const a = await servers.request('edge', 'GET', '/', bearer(token));
    ok(a.status === status, `the user edge: a request gets ${status}`,
       [a.status, a.text]);
  }

  const key = acl.run(socket, undefined, 'KEYS', 'at:t:*').split('\n')[0];
  const others = [
    ['GET', 'other'], ['SET', 'other', '1'], ['HSET', 'other', 'a', 'b'],
    ['KEYS', '*'], ['SCAN', '0'], ['FLUSHALL'], ['CONFIG', 'GET', '*'],
    ['ACL', 'LIST'], ['CLIENT', 'LIST'], ['SAVE'], ['SHUTDOWN'],
    ['SUBSCRIBE', 'other'], ['PUBLISH', 'other', 'x'], ['MONITOR'],
    ['SCRIPT', 'FLUSH'],
    ['EVAL', "return redis.call('HSET', KEYS[1], 'a', 'b')", '1', 'other'],
  ];
  const records = [
    ['HSET', key, 's', 'a'], ['DEL', key], ['HGETALL', key],
    ['EVAL', 'return 1', '0'], ['ZADD', key.replace('at:t:', 'at:i:'), '0', 'a'],
    ['HMGET', key.replace('at:t:', 'at:i:'), 'a'],
  ];

  for (const [user, commands] of [['admin', others],
                                  ['edge', [...others, ...records]]]) {
    for (const command of commands) {
      const said = acl.run(socket, user, ...command);
      ok(/NOPERM|user executing the script can't/.test(said),
         `the user ${user} may not ${command[0]} ${command[1] || ''}`, said);
    }
  }
}


/* It is told in batches, so it takes a while. */

async function lastUse(admin) {
  const end = Date.now() + 10000;
  let used = null;

  while (!used && Date.now() < end) {
    await call('getOrganizationToken', { params: { id: admin.id },
                                         as: bearer(admin.token), expect: 200 });
    used = [...(seenValue.get('last_used_at') || [])].includes('value');
    await new Promise((done) => setTimeout(done, 50));
  }
  ok(used, 'a token that is used has a last_used_at');
}


/* --- was everything seen? ------------------------------------------------ */

/* What cannot be brought about from outside, and why. */

const UNSEEN = new Set([
]);

function everythingSeen() {
  for (const o of spec.operations) {
    const missing = Object.keys(o.responses).filter((s) =>
      !(seenStatus.get(o.id) || new Set()).has(s)
      && !UNSEEN.has(`${o.id} ${s}`));
    ok(missing.length === 0, `${o.id}: every documented status was seen`,
       missing);

    const parameters = o.parameters
      .filter((p) => p.in === 'query' && !seenParameter.has(`${o.id} ${p.name}`))
      .map((p) => p.name);
    ok(parameters.length === 0, `${o.id}: every parameter was used`,
       parameters);

    const schema = o.body
      && spec.resolve(o.body.content['application/json'].schema);
    const members = Object.keys((schema && schema.properties) || {})
      .filter((m) => !seenMember.has(`${o.id} ${m}`));
    ok(members.length === 0, `${o.id}: every member was accepted`, members);
  }

  const fields = spec.doc.components.schemas.TokenFields.properties;

  for (const [name, reference] of Object.entries(fields)) {
    const schema = spec.resolve(reference);
    const nullable = spec.complaints(reference, null).length === 0;
    const want = ['value',
                  ...(nullable ? ['null'] : []),
                  ...(schema.enum || []).map((v) => `=${v}`),
                  ...(schema.type === 'boolean' ? ['=true', '=false'] : [])];
    const missing = want.filter((v) => !(seenValue.get(name) || new Set())
      .has(v));
    ok(missing.length === 0, `a token's ${name}: every kind of value was seen`,
       missing);
  }
}


async function main() {
  compareRoutes();

  const redis = await servers.startRedis();

  makeUsers();
  await servers.startNginx('nginx', {
    user: 'admin', more: 'access_token_last_use 1s;', locations: API,
  });
  await servers.startNginx('unlimited', {
    user: 'admin', more: 'access_token_max_lifetime off;', locations: API,
  });

  await servers.startNginx('waiting', {
    user: 'admin', redis: 'wait=1:1ms', locations: API,
  });

  const admin = await create('Organization', { admin: true });
  const group = await create('Group', { admin: true });
  const gone = await create('Group');
  await call('deleteGroupToken', { params: { id: gone.id }, expect: 204 });

  await everyOperation(admin, gone.id);
  await everyPath(gone.id);
  await createBodies();
  await examples('nginx', { Organization: (await create('Organization')).id,
                            Group: group.id });

  for (const level of Object.keys(LEVELS)) {
    await life(level);
    await expiry(level);
    await lists(level);
  }

  await owners();
  await actors(admin);
  await callers([admin, group, await create('Organization'),
                 await create('Group')]);
  await withoutLimit();
  await withoutReplicas();
  await lastUse(admin);
  await checkUsers(admin);
  await withoutRedis(admin, redis);
  everythingSeen();
}

function done() {
  console.log(`1..${count}`);
  console.log(failures ? `# ${failures} of ${count} failed` : `# all ${count} pass`);
}

/* Whatever ends us early, nginx and Redis are not left behind. */

let ending = false;

async function abandon() {
  if (!ending) {
    ending = true;
    await servers.stopAll();
    fs.rmSync(servers.dir, { recursive: true });
    process.exit(1);
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, abandon);
}
process.stdout.on('error', abandon);

main()
  .catch((e) => ok(false, 'the test runs to its end', e.stack))
  .finally(async () => {
    await servers.stopAll();
    done();
    if (failures) {
      console.log(`# logs are in ${servers.dir}`);
    } else {
      fs.rmSync(servers.dir, { recursive: true });
    }
    process.exitCode = failures ? 1 : 0;
  });
