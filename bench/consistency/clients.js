'use strict';

/*
 * Those who use the gateway.  A life is a client that makes a token, changes
 * it at random through either nginx, and goes on with another one; a reader
 * shows tokens to one nginx, most of all those that were changed a moment ago.
 */

const { now, sleep } = require('./time.js');
const { Connection, Pool } = require('./http.js');
const { EDGES } = require('./doors.js');
const { NOBODY } = require('./checker.js');

const RECENT = 3000;        /* ms that a changed token is of interest */
const UNCLEAR = 4;          /* unanswered changes, and a token is left */
const AFTERLIFE = 2500;     /* ms that a token is read after its last change */

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

const table = Array.from({ length: 256 }, (_, n) => {
  let c = n;

  for (let k = 0; k < 8; k++) {
    c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  }
  return c >>> 0;
});

/* The same id with a secret that was never given out. */

function forge(text, random) {
  const id = text.slice(3, 23);
  let secret = '';

  for (let i = 0; i < 32; i++) {
    secret += random.pick(DIGITS);
  }

  let crc = 0xffffffff;

  for (const c of Buffer.from(id + secret)) {
    crc = (table[(crc ^ c) & 0xff] ^ (crc >>> 8)) >>> 0;
  }
  crc = (crc ^ 0xffffffff) >>> 0;

  let sum = '';

  for (let i = 0; i < 6; i++) {
    sum = DIGITS[crc % 62] + sum;
    crc = Math.floor(crc / 62);
  }
  return `at_${id}${secret}${sum}`;
}

class Clients {
  constructor(servers, world, random, settings) {
    this.servers = servers;
    this.world = world;
    this.random = random;
    this.settings = settings;
    this.pools = {};
    this.recent = [];
    this.lives = true;      /* new changes are made */
    this.reads = true;
    this.running = [];
    this.held = null;       /* no change is begun until this is done */
    this.only = null;       /* the edge by which all changes go */
    this.pending = 0;       /* changes under way */
  }

  start() {
    const { lives, readers } = this.settings;

    for (const edge of EDGES) {
      this.pools[edge] = new Pool(this.servers.ports[edge]);
      for (let i = 0; i < readers; i++) {
        this.running.push(this.reader(edge, i));
      }
    }
    for (let i = 0; i < lives; i++) {
      this.running.push(this.life(i));
    }
  }

  async stop() {
    this.reads = false;
    await Promise.all(this.running);
    Object.values(this.pools).forEach((pool) => pool.close());
  }


  /* --- changes ---------------------------------------------------------- */

  /* Waits for the changes under way; others wait for release(). */
  async hold() {
    let free;

    this.held = new Promise((done) => { free = done; });
    this.free = free;
    while (this.pending) {
      await sleep(10);
    }
  }

  /* Changes go on, by way of one edge if it is given. */
  release(edge = null) {
    this.only = edge;
    this.held = null;
    this.free();
  }

  async api(edge, method, path, body) {
    const headers = { Authorization: `Bearer ${this.servers.credential}` };

    if (body !== undefined) {
      headers['Content-Type'] = 'application/json';
    }
    return this.pools[edge].request(method, `/api/organizations/${path}`,
                                    headers,
                                    body && JSON.stringify(body));
  }

  /* Which edge a change that wants to go by this one goes by. */
  async enter(edge) {
    while (this.held) {
      await this.held;
    }
    this.pending++;
    return this.only || edge;
  }

  /* 202: it was made, and no replica is known to have it. */
  outcome(status) {
    switch (status) {
      case 200: case 201: case 204: return 'confirmed';
      case 202: return 'unknown';
      case 404: case 409: return 'refused';
      case 503: case 0: return 'unknown';
      default: return 'odd';
    }
  }

  /*
   * A new token, or null; seconds: how long it is good.  The gateway takes
   * whole seconds.  within: an organization.
   */
  async create(wanted, random, seconds = 86400, within = null) {
    const edge = await this.enter(wanted);
    const organization = within
      || random.pick(this.servers.topology.organizations);
    const owner = random.chance(0.5) ? organization
      : `${organization}/groups/${random.pick(['dev', 'ops'])}`;
    const expires = Math.ceil(now() / 1000 + seconds) * 1000;
    const change = {
      kind: 'create', edge, start: now(), end: Infinity, outcome: 'unknown',
      secret: 0, expires,
    };

    const answer = await this.api(edge, 'POST', `${owner}/access-tokens`, {
      name: 'a test',
      expires_at: new Date(expires).toISOString().replace('.000', ''),
      admin: random.chance(0.2),
    });

    this.end(change, answer);
    if (change.outcome !== 'confirmed') {
      this.world.change(null, change);
      return null;
    }

    const made = JSON.parse(answer.body);
    const token = {
      id: made.id,
      path: `${owner}/access-tokens/${made.id}`,
      secrets: [made.token],
      changes: [change],
      reads: [],
      last: change.end,
      age: this.world.age,
      done: false,
    };

    this.world.add(token);
    this.world.change(token, change);
    this.touch(token);
    return token;
  }

  end(change, answer) {
    this.pending--;
    change.start = Math.min(change.start, answer.begin);
    change.end = answer.end;
    change.status = answer.status;
    change.lost = answer.lost;
    change.reused = answer.reused;
    change.outcome = this.outcome(answer.status);
    if (change.outcome === 'odd') {
      change.body = answer.body;
    }
  }

  /* more: grace in seconds of rotate, lifetime in seconds of patch. */
  async change(token, kind, wanted, more = {}) {
    const edge = await this.enter(wanted);
    const change = {
      kind, edge, start: now(), end: Infinity, outcome: 'unknown',
    };
    let method = 'POST';
    let path = `${token.path}/${kind}`;
    let body;

    switch (kind) {
      case 'delete':
        method = 'DELETE';
        path = token.path;
        break;

      case 'patch':
        method = 'PATCH';
        path = token.path;
        if (more.lifetime) {
          change.expires = Math.ceil(now() / 1000 + more.lifetime) * 1000;
          body = { expires_at: new Date(change.expires).toISOString()
            .replace('.000', '') };
        } else {
          body = { name: `changed ${now()}` };
        }
        break;

      case 'rotate':
        change.grace = more.grace || 0;
        body = { grace_seconds: change.grace };
        break;
    }

    token.changes.push(change);
    this.touch(token);

    const answer = await this.api(edge, method, path, body);

    this.end(change, answer);
    if (kind === 'rotate' && (change.outcome === 'confirmed'
                              || change.status === 202))
    {
      change.secret = token.secrets.push(JSON.parse(answer.body).token) - 1;
    }
    this.world.change(token, change);
    this.touch(token);
    return change;
  }

  touch(token) {
    token.touched = now();
    if (!this.recent.includes(token)) {
      this.recent.push(token);
    }
  }

  /* No more changes; readers go on for a while. */
  retire(token, ms = this.world.rules.lease + AFTERLIFE) {
    this.touch(token);
    setTimeout(() => { token.done = true; }, ms);
  }

  async life(number) {
    const random = this.random(`life ${number}`);

    while (this.lives) {
      const short = random.chance(0.15);
      const token = await this.create(random.pick(EDGES), random,
                                      short ? random.whole(2, 5) : 86400);

      if (!token) {
        await sleep(random.between(50, 300));
        continue;
      }

      const steps = random.whole(3, 9);
      for (let i = 0; i < steps && this.lives
                      && token.age === this.world.age; i++)
      {
        await sleep(this.pauseOf(random));
        const kinds = await this.step(token, random);
        if ((kinds.includes('delete') && random.chance(0.8))
            || this.unclear(token))
        {
          break;
        }
      }
      this.retire(token);
    }
  }

  /* So much is unknown of it that hardly any answer could be wrong. */
  unclear({ changes }) {
    return changes.filter((c) => c.outcome === 'unknown').length >= UNCLEAR;
  }

  /* Short ones make races; only after a lease are verdicts certain. */
  pauseOf(random) {
    const { lease } = this.world.rules;

    return random.chance(0.4) ? random.between(20, 300)
      : random.chance(0.4) ? random.between(300, 1.2 * lease)
        : random.between(1.4 * lease, 3 * lease);
  }

  /* One change, or two at the same time. */
  async step(token, random) {
    const count = random.chance(0.15) ? 2 : 1;
    const last = token.changes[token.changes.length - 1].kind;
    const changes = [];
    const kinds = [];

    for (let i = 0; i < count; i++) {
      const kind = random.weighted({
        revoke: last === 'revoke' ? 5 : 30,
        activate: last === 'revoke' ? 60 : 5,
        rotate: 18,
        patch: 16,
        delete: 11,
      });

      kinds.push(kind);
      changes.push(this.change(token, kind, random.pick(EDGES), {
        grace: random.chance(0.5) ? random.whole(1, 3) : 0,
        lifetime: random.pick([0, random.whole(2, 4), 86400]),
      }));
    }
    if (changes.length === 1 && random.chance(0.4)) {
      EDGES.forEach((edge) => this.stare(token, edge, changes[0]));
    }
    await Promise.all(changes);
    return kinds;
  }


  /* --- reads ------------------------------------------------------------ */

  async show(connection, token, edge, secret, random) {
    const text = secret === NOBODY ? forge(token.secrets[0], random)
      : token.secrets[secret];
    const answer = await connection.request('GET', '/file', {
      Authorization: `Bearer ${text}` });
    const { begin, end, status, headers, lost, reused } = answer;
    const read = { begin, end, edge, status, secret };

    if (status) {
      read.cache = headers['x-cache'];
      read.verdict = headers['x-verdict'];
      read.worker = headers['x-worker'];
    } else {
      read.lost = lost;
      read.reused = reused;
    }
    this.world.read(token, read);
    return read;
  }

  async reader(edge, number) {
    const random = this.random(`reader ${edge} ${number}`);
    const { pause } = this.settings;
    let connection = new Connection(this.servers.ports[edge]);

    while (this.reads) {
      const token = this.choose(edge, random);

      if (!token) {
        await sleep(20);
        continue;
      }

      const last = token.secrets.length - 1;
      const secret = random.chance(0.02) ? NOBODY
        : random.chance(0.75) ? last : random.whole(0, last);
      const read = await this.show(connection, token, edge, secret, random);

      await sleep(random.between(0, 2 * pause) + (read.status === 503 ? 20 : 0)
                  + (read.status === 0 ? 50 : 0));

      /* another worker may take the next connection */
      if (random.chance(0.01)) {
        connection.close();
        connection = new Connection(this.servers.ports[edge]);
      }
    }
    connection.close();
  }

  choose(edge, random) {
    const since = now() - RECENT;

    this.recent = this.recent.filter((t) => t.touched > since && !t.done);

    if (random.chance(0.3)) {
      const struck = this.recent.filter((t) => t.struck === edge);

      if (struck.length) {
        return random.pick(struck);
      }
    }
    if (this.recent.length && random.chance(0.5)) {
      return random.pick(this.recent);
    }

    const live = [...this.world.tokens].filter((t) => !t.done);
    return live.length ? random.pick(live) : null;
  }

  /* Asks again and again while a change is made and a little longer. */
  async stare(token, edge, change) {
    const secret = token.secrets.length - 1;
    let until = Infinity;

    change.then(() => { until = now() + 60; });

    while (now() < until && this.reads) {
      const read = await this.show(this.pools[edge], token, edge, secret);
      if (read.status !== 200 && read.status !== 401) {
        break;
      }
      await sleep(1);
    }
  }


  /* --- for faults ------------------------------------------------------- */

  /* New tokens that this edge has in its cache. */
  async prepare(edge, count, random, within) {
    const other = EDGES.find((e) => e !== edge);
    const made = await Promise.all(Array.from({ length: count },
      () => this.create(other, random, undefined, within)));
    const tokens = made.filter(Boolean);

    for (let i = 0; i < 2; i++) {
      await Promise.all(tokens.map(
        (token) => this.show(this.pools[edge], token, edge, 0, random)));
    }
    return tokens;
  }

  /* Asks for each of them all the time, while readers wait for others. */
  async hammer(edge, tokens, ms, random) {
    const until = now() + ms;

    await Promise.all(tokens.map(async (token) => {
      while (now() < until && this.reads) {
        await this.show(this.pools[edge], token, edge, 0, random);
        await sleep(10);
      }
    }));
  }

  /* They become bad, which this edge hears by its link alone. */
  async strike(edge, tokens, random, linger) {
    const other = EDGES.find((e) => e !== edge);

    await Promise.all(tokens.map(async (token) => {
      token.struck = edge;
      await this.change(token, random.pick(['revoke', 'revoke', 'delete',
                                            'rotate']), other);
      this.retire(token, linger);
    }));
  }
}

module.exports = { Clients };
