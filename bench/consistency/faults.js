'use strict';

/*
 * What goes wrong.  Each kind is a function that does it to an edge, or to
 * Redis, and returns when it is mended; what it may cost is its `effects`:
 *
 *     unavailable   the answer may be 503
 *     lost          a request may get no answer
 *     closed        a connection may be closed between two requests
 *
 * Two tracks run beside each other, one of faults at an edge and one of faults
 * of Redis, so that they meet.  Each deals its kinds like cards: all of them
 * come before one comes again, and one that was in vain, for it met no
 * connection, comes once more.
 *
 * The faults of an edge strike: they make tokens that the edge has cached, and
 * have them revoked, deleted or rotated by way of the other edge just when it
 * cannot hear of it.
 */

const { now, sleep } = require('./time.js');
const { EDGES } = require('./servers.js');

const TOKENS = 5;       /* of a strike */

class Faults {
  constructor(servers, world, clients, random, settings) {
    this.servers = servers;
    this.world = world;
    this.clients = clients;
    this.random = random;
    this.settings = settings;
    this.lease = settings.lease;
    this.killed = new Set();
    this.over = false;
  }

  /* Returns when all is mended; stop() lets that come. */
  run(kinds) {
    return Promise.all([
      this.track('edge', kinds.filter((k) => ofEdge[k])),
      this.track('redis', kinds.filter((k) => ofRedis[k])),
    ]);
  }

  stop() {
    this.over = true;
  }

  async track(name, kinds) {
    const random = this.random(`faults ${name}`);
    const gap = this.settings.gap[name];

    if (kinds.length === 0) {
      return;
    }
    await this.wait(random.between(500, 1000));

    while (!this.over) {
      const deck = random.shuffle(kinds);

      for (let i = 0; i < deck.length && !this.over; i++) {
        const kind = deck[i];
        const came = this.came(kind);

        await (ofEdge[kind] || ofRedis[kind]).call(this, random.pick(EDGES),
                                                   random);
        if (this.came(kind) === came && deck.length < 2 * kinds.length) {
          deck.push(kind);
        }
        await this.wait(random.between(0.5 * gap, 1.5 * gap));
      }
    }
  }

  came(kind) {
    return this.world.counts.faults[kind] || 0;
  }

  async wait(ms) {
    const until = now() + ms;

    while (!this.over && now() < until) {
      await sleep(Math.min(50, until - now()));
    }
  }

  async during(kind, edges, effects, detail, what) {
    const fault = this.world.fault(kind, edges, effects, detail);

    try {
      await what(fault);
    } finally {
      fault.end = now();
      this.world.count('faults', fault.met === 0 ? `${kind} in vain` : kind);
    }
  }

  /* What a fault does to connections; one that meets none is in vain. */
  async proxy(edge, what, fault) {
    const met = await this.servers.proxy({ door: edge, ...what });

    if (fault) {
      fault.met = (fault.met || 0) + met;
    }
    return met;
  }

  prepare(edge, random, count = TOKENS) {
    return this.clients.prepare(edge, count, random);
  }
}

/* --- of an edge --------------------------------------------------------- */

const ofEdge = {

  /* The links break, and what they would have told is lost. */
  async 'cut-link'(edge, random) {
    const tokens = await this.prepare(edge, random);
    const away = random.chance(0.3) ? 0
      : random.between(0.2 * this.lease, 0.5 * this.lease);

    await this.during('cut-link', [edge], ['unavailable'], `${away | 0} ms`,
      async (fault) => {
        await this.proxy(edge, { do: 'refuse', on: away > 0 });
        await this.proxy(edge, { do: 'cut', kind: 'link' }, fault);
        await Promise.all([this.clients.strike(edge, tokens, random),
                           sleep(away)]);
        await this.proxy(edge, { do: 'refuse', on: false });
      });
  },

  /* The links are silent, and nobody says so. */
  async 'hole-link'(edge, random) {
    const tokens = await this.prepare(edge, random);
    const lasts = random.between(0.5 * this.lease, 2.5 * this.lease);

    await this.during('hole-link', [edge], ['unavailable'], `${lasts | 0} ms`,
      async (fault) => {
        await this.proxy(edge, { do: 'hole', kind: 'link', on: true },
                         fault);
        await Promise.all([this.clients.strike(edge, tokens, random),
                           sleep(lasts)]);
        await this.proxy(edge, { do: 'hole', kind: 'link', on: false },
                         fault);
      });
  },

  async 'cut-data'(edge, random) {
    const cuts = random.whole(1, 3);

    await this.during('cut-data', [edge], ['unavailable'], `${cuts} times`,
      async (fault) => {
        for (let i = 0; i < cuts; i++) {
          await this.proxy(edge, { do: 'cut', kind: 'data' }, fault);
          await sleep(random.between(20, 200));
        }
      });
  },

  async 'hole-data'(edge, random) {
    const lasts = random.between(300, 1500);

    await this.during('hole-data', [edge], ['unavailable'], `${lasts | 0} ms`,
      async (fault) => {
        await this.proxy(edge, { do: 'hole', kind: 'data', on: true },
                         fault);
        await sleep(lasts);
        await this.proxy(edge, { do: 'hole', kind: 'data', on: false },
                         fault);
      });
  },

  /* All is late by the same. */
  async delay(edge, random) {
    const tokens = await this.prepare(edge, random);
    const ms = Math.round(random.between(10, 220));

    await this.during('delay', [edge], ['unavailable'], `${ms} ms each way`,
      async (fault) => {
        await this.proxy(edge, { do: 'delay', kind: 'all', up: ms, down: ms },
                         fault);
        await sleep(random.between(300, 1200));
        await this.clients.strike(edge, tokens, random);
        await sleep(random.between(500, 1000));
        await this.proxy(edge, { do: 'delay', kind: 'all', up: 0, down: 0 },
                         fault);
      });
  },

  /* What was sent on one connection overtakes what was sent on another. */
  async reorder(edge, random) {
    const tokens = await this.prepare(edge, random);
    const slow = random.pick(['link', 'data']);
    const ms = Math.round(random.between(50, 400));

    await this.during('reorder', [edge], ['unavailable'],
      `${slow} ${ms} ms late`, async (fault) => {
        await this.proxy(edge, { do: 'delay', kind: slow, up: 0, down: ms },
                         fault);
        await sleep(random.between(300, 1200));
        await this.clients.strike(edge, tokens, random);
        await sleep(random.between(500, 1000));
        await this.proxy(edge, { do: 'delay', kind: slow, up: 0, down: 0 },
                         fault);
      });
  },

  /*
   * The links are late by nearly half a lease (above that nginx gives them up)
   * and silent just before what they carry would have come: a lease counted
   * from when its message came, and not from when it was asked for, lasts too
   * long.  No command is answered any more, so nothing tells of the silence.
   */
  async 'late-link'(edge, random) {
    const late = Math.round(0.45 * this.lease);
    const tokens = await this.prepare(edge, random);

    await this.during('late-link', [edge], ['unavailable'], `${late} ms late`,
      async (fault) => {
        await this.proxy(edge, { do: 'delay', kind: 'link', up: 0, down: late },
                         fault);
        await sleep(2 * this.lease);
        await this.proxy(edge, { do: 'hole', kind: 'data', on: true }, fault);
        await Promise.all([
          this.clients.strike(edge, tokens, random),
          sleep(0.4 * this.lease).then(() => this.proxy(
            edge, { do: 'hole', kind: 'link', on: true }, fault)),
          this.clients.hammer(edge, tokens, 1.8 * this.lease, random),
        ]);
        await this.proxy(edge, { do: 'delay', kind: 'link', up: 0, down: 0 });
        await this.proxy(edge, { do: 'hole', kind: 'all', on: false });
      });
  },

  /*
   * Replies are late and the links are not: tokens that the edge has just
   * asked for are revoked before it hears that they are good.
   */
  async 'late-reply'(edge, random) {
    const late = Math.round(random.between(250, 350));
    const other = EDGES.find((e) => e !== edge);

    await this.during('late-reply', [edge], ['unavailable'], `${late} ms late`,
      async (fault) => {
        await this.proxy(edge, { do: 'delay', kind: 'data', up: 0, down: late },
                         fault);
        for (let i = 0; i < 3; i++) {
          await sleep(0.3 * this.lease);
          await Promise.all(Array.from({ length: TOKENS }, async () => {
            const token = await this.clients.create(other, random);

            if (token) {
              const asked = this.clients.show(this.clients.pools[edge], token,
                                              edge, 0, random);
              await sleep(random.between(0.2 * late, 0.6 * late));
              await this.clients.strike(edge, [token], random);
              await asked;
            }
          }));
        }
        await this.proxy(edge, { do: 'delay', kind: 'data', up: 0, down: 0 },
                         fault);
      });
  },

  /* A worker dies in the middle of what it does; another takes its place. */
  async 'kill-worker'(edge, random) {
    await this.during('kill-worker', [edge], ['lost'], '',
      async (fault) => {
        const worker = random.pick(this.servers.workers(edge));

        if (worker) {
          this.killed.add(worker);
          fault.detail = `process ${worker}`;
          process.kill(worker, 'SIGKILL');
        }
        await sleep(200);
      });
  },

  async reload(edge) {
    await this.during('reload', [edge], ['closed'], '', async () => {
      const before = this.servers.workers(edge);
      const until = now() + 3000;

      process.kill(this.servers.nginx[edge].pid, 'SIGHUP');
      while (now() < until
             && this.servers.workers(edge).some((w) => before.includes(w)))
      {
        await sleep(20);
      }
      await sleep(100);
    });
  },

  /* The event loop of a worker stands still, and time goes on. */
  async pause(edge, random) {
    const tokens = await this.prepare(edge, random);
    const lasts = random.between(0.7 * this.lease, 1.2 * this.lease);

    await this.during('pause', [edge], ['unavailable'], `${lasts | 0} ms`,
      async (fault) => {
        const worker = random.pick(this.servers.workers(edge));

        if (!worker) {
          return;
        }
        fault.detail += `, process ${worker}`;
        process.kill(worker, 'SIGSTOP');
        try {
          await sleep(0.2 * lasts);
          await this.clients.strike(edge, tokens, random);
          await sleep(0.8 * lasts);
        } finally {
          resume(worker);
        }
        await sleep(50);
      });
  },
};

function resume(pid) {
  try {
    process.kill(pid, 'SIGCONT');
  } catch (e) {
    /* it was killed meanwhile */
  }
}


/* --- of Redis ----------------------------------------------------------- */

const ofRedis = {

  async 'stop-redis'(edge, random) {
    const lasts = random.between(200, 2000);

    await this.during('stop-redis', [], ['unavailable'], `${lasts | 0} ms`,
      async () => {
        this.servers.process('primary').kill('SIGSTOP');
        await sleep(lasts);
        this.servers.process('primary').kill('SIGCONT');
      });
  },

  async 'kill-redis'(edge, random) {
    const away = random.between(0, 1000);

    await this.during('kill-redis', [], ['unavailable'], `${away | 0} ms away`,
      async () => {
        await this.servers.kill('primary');
        await sleep(away);
        await this.servers.startRedis(this.servers.primary);
      });
  },

  async flushall() {
    await this.during('flushall', [], [], '', async () => {
      const change = {
        kind: 'vanish', by: 'FLUSHALL', start: now(), end: Infinity,
        outcome: 'confirmed',
      };

      this.world.loss(change, !this.settings.untracked);
      await this.servers.tell('primary', 'FLUSHALL');
      change.end = now();
    });
  },

  /*
   * The database with all tokens is exchanged for an empty one, which Redis
   * tells nobody; when nothing can be cached any more, the old one is emptied.
   */
  async swapdb() {
    const { maxAge } = this.settings;

    await this.during('swapdb', [], [], '', async () => {
      const change = {
        kind: 'vanish', by: 'SWAPDB', start: now(), end: Infinity,
        outcome: 'confirmed',
      };

      this.world.loss(change, false);
      await this.servers.tell('primary', 'SWAPDB', '0', '1');
      change.end = now();
      await this.wait(maxAge + this.lease + 1000);
      await this.servers.tell('primary', 'EVAL',
        "redis.call('SELECT', 1) redis.call('FLUSHDB')", '0');
    });
  },

  async 'client-kill'(edge, random) {
    const type = random.pick(['pubsub', 'normal']);

    await this.during('client-kill', [], ['unavailable'], type,
      async (fault) => {
        fault.met = Number((await this.servers.tell(
          'primary', 'CLIENT', 'KILL', 'TYPE', type)).slice(1));
        await sleep(50);
      });
  },

  /*
   * An edge is left alone with one that hears no more of the primary: whoever
   * reads there reads the past.  A replica takes no writes, and no more does a
   * primary that has lost its replicas and is told to want one.  So there is
   * no lease and no fenced read.
   */
  async deposed(edge, random) {
    const { servers } = this;
    const tokens = await this.prepare(edge, random, 3 * TOKENS);

    if (!(await servers.replicated(5000))) {
      return;
    }
    const lasts = random.between(2.5 * this.lease, 4 * this.lease);
    const alone = random.chance(0.5);

    await this.during('deposed', [edge], ['unavailable'],
      `${lasts | 0} ms, a ${alone ? 'primary' : 'replica'}`, async () => {
        await servers.isolate(alone);
        await this.proxy(edge, { do: 'route', to: servers.at('replica') });
        await this.proxy(edge, { do: 'cut', kind: 'all' });
        await this.clients.strike(edge, tokens, random);
        await sleep(lasts);
        await this.proxy(edge, { do: 'route', to: servers.at('primary') });
        await this.proxy(edge, { do: 'cut', kind: 'all' });
        await servers.rejoin(alone);
      });
  },
};

/* --- only if they are asked for ----------------------------------------- */

const ofBoth = {

  /*
   * The replica becomes primary, and the old one does not know.  One worker of
   * an edge goes to the new one, another stays at the old one until that dies:
   * what it sees meanwhile, and puts into the zone that both use, is the past.
   * Changes are made by way of the other edge alone.  As long as both primaries
   * take writes, whoever is held up on the way to the new one sees the past as
   * well, so other faults do not go with it.
   */
  async failover(edge, random) {
    const { servers, clients } = this;
    const other = EDGES.find((e) => e !== edge);
    const tokens = await this.prepare(edge, random);

    await clients.hold();
    if (!(await servers.replicated(5000)) || !tokens.length) {
      clients.release();
      return;
    }

    await this.during('failover', [], ['unavailable'], '', async (fault) => {
      const [old, moved] = servers.workers(edge);

      fault.past = { edge, worker: String(old) };
      fault.detail = `process ${old} of ${edge} stays behind`;
      await servers.promote();
      for (const door of EDGES) {
        await servers.proxy({ do: 'route', door, to: servers.at('primary') });
      }
      await servers.proxy({ do: 'cut', door: other, kind: 'all' });
      clients.release(other);
      await sleep(0.4 * this.lease);
      await clients.strike(edge, tokens, random);
      await this.proxy(edge, { do: 'cut', kind: 'all',
                               ports: servers.portsOf(moved) });
      await sleep(random.between(this.lease, 2 * this.lease));
      await servers.demote();
      await sleep(this.lease);
    });
    clients.release();
  },
};

Object.assign(ofRedis, ofBoth);

const KINDS = [...Object.keys(ofEdge), ...Object.keys(ofRedis)];
const USUAL = KINDS.filter((kind) => !ofBoth[kind]);

module.exports = { Faults, KINDS, USUAL };
