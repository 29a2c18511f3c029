'use strict';

/*
 * What goes wrong.  Each kind is a function that does it to an edge, or to
 * the servers of the topology, and returns when it is mended; what it may cost
 * is its `effects`:
 *
 *     unavailable   the answer may be 503
 *     lost          a request may get no answer
 *     closed        a connection may be closed between two requests
 *     slow          Redis may be late to answer us, too
 *
 * Two tracks run beside each other, one of faults at an edge, which are here,
 * and one of faults of servers, which are in topologies/, so that they meet.
 * Each deals its kinds like cards: all of them come before one comes again,
 * and one that was in vain, for it met no connection, comes once more.  A run
 * lasts until all have come once.
 *
 * The faults of an edge strike: they make tokens that the edge has cached, and
 * have them revoked, deleted or rotated by way of the other edge just when it
 * cannot hear of it.
 */

const { now, sleep } = require('./time.js');
const { EDGES } = require('./doors.js');
const { TOPOLOGIES } = require('./servers.js');

const TOKENS = 5;       /* of a strike */
const LINGER = 10000;   /* ms that these are read after it, if nobody hears */

class Faults {
  constructor(servers, world, clients, random, settings) {
    this.servers = servers;
    this.topology = servers.topology;
    this.doors = servers.doors;
    this.ofServers = TOPOLOGIES[settings.topology].faults;
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
      this.track('redis', kinds.filter((k) => this.ofServers[k])),
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

    for (let round = 0; round === 0 || !this.over; round++) {
      const deck = random.shuffle(kinds);

      for (let i = 0; i < deck.length && (round === 0 || !this.over); i++) {
        const kind = deck[i];
        const came = this.came(kind);

        await (ofEdge[kind] || this.ofServers[kind]).call(
          this, random.pick(EDGES), random);
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

  /* Around a failover: what is not confirmed may be made and then undone. */
  async undoing(what) {
    const undo = this.world.undo();

    try {
      await what();
    } finally {
      undo.end = now();
    }
  }

  /*
   * For a fault in which another server takes over.  strike(what) does it
   * while tokens that the edge has cached become bad: what of that is confirmed
   * has to outlive it.  strike.again(), when the other one is there, has more
   * of them become bad there.  All are of one organization.
   */
  async aim(edge, random) {
    const { clients } = this;
    const tokens = await this.prepare(
      edge, random, 2 * TOKENS, random.pick(this.topology.organizations));
    const first = tokens.splice(0, TOKENS);

    const strike = async (what) => {
      const struck = clients.strike(edge, first, random, LINGER);

      await sleep(random.between(0, 20));
      await Promise.all([what(), struck]);
    };

    strike.tokens = first;
    strike.again = async () => {
      first.forEach((token) => clients.touch(token));
      await clients.strike(edge, tokens, random, LINGER);
    };
    return strike;
  }

  /* What a fault does to connections; one that meets none is in vain. */
  async proxy(edge, what, fault) {
    const met = await this.doors.tell({ door: edge, ...what });

    if (fault) {
      fault.met = (fault.met || 0) + met;
    }
    return met;
  }

  prepare(edge, random, count = TOKENS, within = null) {
    return this.clients.prepare(edge, count, random, within);
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

/* Of both tracks: all kinds of a topology, and those that come unasked. */

function kindsOf(topology) {
  const { faults, named } = TOPOLOGIES[topology];
  const all = [...Object.keys(ofEdge), ...Object.keys(faults)];

  return { all, usual: all.filter((kind) => !named.includes(kind)) };
}

module.exports = { Faults, kindsOf };
