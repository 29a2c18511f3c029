'use strict';

/*
 * One Redis, and a replica of it that no nginx knows.
 *
 *     door a ---+
 *               +--- redis one (primary)
 *     door b ---+        |
 *                   door replication
 *                        |
 *                   redis two (replica)
 *
 * The two may change their parts: primary and replica say which is which now.
 */

const { now, sleep } = require('../time.js');
const { EDGES } = require('../doors.js');
const { Redis } = require('../redis.js');

const TOKENS = 15;      /* of a strike while an edge reads the past */

/* A Redis that does not tell who follows which keys are changed. */

const UNTRACKED = 'default on nopass ~* &* +@all -client|tracking';

class Topology {
  constructor(processes, { untracked }) {
    this.processes = processes;
    this.doors = processes.doors;
    this.recovery = { reads: 1500, changes: 1500 };
    this.organizations = ['acme', 'umbrella', 'initech', 'globex'];

    /* A confirmed change has to outlive a kill -9: each write is synced. */
    this.settings = {
      port: 0, appendfsync: 'always', ...(untracked ? { user: UNTRACKED } : {}),
    };
    this.primary = new Redis(processes, 'one', this.settings);
    this.replica = null;
  }

  async start() {
    await this.primary.start();
    for (const group of [...EDGES, 'replication']) {
      await this.doors.open(group, [
        { name: 'redis', address: this.primary.address }]);
    }
    await this.startReplica('two');
    await this.replicated(10000);
  }

  address(edge) {
    return `127.0.0.1:${this.doors.port(edge, 'redis')}`;
  }

  get source() {
    return ['127.0.0.1', this.doors.port('replication', 'redis')];
  }

  async startReplica(name) {
    this.replica = new Redis(this.processes, name, {
      ...this.settings, replicaof: this.source.join(' ') });
    await this.replica.start();
  }

  /* The replica hears no more; alone: it is a primary that wants replicas. */
  async isolate(alone) {
    await this.doors.tell({ do: 'refuse', door: 'replication', on: true });
    await this.doors.tell({ do: 'cut', door: 'replication', kind: 'all' });
    if (alone) {
      await this.replica.ask('CONFIG', 'SET', 'min-replicas-to-write', 1);
      await this.replica.ask('REPLICAOF', 'NO', 'ONE');
    }
  }

  async rejoin(alone) {
    await this.doors.tell({ do: 'refuse', door: 'replication', on: false });
    if (alone) {
      await this.replica.ask('CONFIG', 'SET', 'min-replicas-to-write', 0);
      await this.replica.ask('REPLICAOF', ...this.source);
    }
  }

  /* The replica is a primary from now on; the other one does not know. */
  async promote() {
    await this.replica.ask('REPLICAOF', 'NO', 'ONE');
    [this.primary, this.replica] = [this.replica, this.primary];
  }

  /* The one that was primary forgets everything and begins as replica. */
  async demote() {
    const { name } = this.replica;

    await this.replica.kill();
    this.replica.forget();
    await this.doors.tell({ do: 'route', door: 'replication',
                            to: this.primary.address });
    await this.startReplica(name);
  }

  /* Whether the replica has all that the primary has. */
  async replicated(ms) {
    const end = now() + ms;

    do {
      const up = await this.replica.replication('master_link_status');
      const most = await this.primary.replication('master_repl_offset');
      const least = await this.replica.replication('master_repl_offset');

      if (up === 'up' && Number(least) >= Number(most)) {
        return true;
      }
      await sleep(20);
    } while (now() < end);
    return false;
  }
}

/* See faults.js: `this` is a Faults. */

const faults = {

  async 'stop-redis'(edge, random) {
    const lasts = random.between(200, 2000);

    await this.during('stop-redis', [], ['unavailable', 'slow'],
      `${lasts | 0} ms`, async () => {
        this.topology.primary.halt();
        await sleep(lasts);
        this.topology.primary.go();
      });
  },

  async 'kill-redis'(edge, random) {
    const away = random.between(0, 1000);

    await this.during('kill-redis', [], ['unavailable', 'slow'],
      `${away | 0} ms away`, async () => {
        await this.topology.primary.kill();
        await sleep(away);
        await this.topology.primary.start();
      });
  },

  async flushall() {
    await this.during('flushall', [], [], '', async () => {
      const change = {
        kind: 'vanish', by: 'FLUSHALL', start: now(), end: Infinity,
        outcome: 'confirmed',
      };

      this.world.loss(change, !this.settings.untracked);
      await this.topology.primary.ask('FLUSHALL');
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
      await this.topology.primary.ask('SWAPDB', '0', '1');
      change.end = now();
      await this.wait(maxAge + this.lease + 1000);
      await this.topology.primary.ask('EVAL',
        "redis.call('SELECT', 1) redis.call('FLUSHDB')", '0');
    });
  },

  async 'client-kill'(edge, random) {
    const type = random.pick(['pubsub', 'normal']);

    await this.during('client-kill', [], ['unavailable'], type,
      async (fault) => {
        fault.met = await this.topology.primary.ask('CLIENT', 'KILL', 'TYPE',
                                                    type);
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
    const { topology } = this;
    const tokens = await this.prepare(edge, random, TOKENS);

    if (!(await topology.replicated(5000))) {
      return;
    }
    const lasts = random.between(2.5 * this.lease, 4 * this.lease);
    const alone = random.chance(0.5);

    await this.during('deposed', [edge], ['unavailable'],
      `${lasts | 0} ms, a ${alone ? 'primary' : 'replica'}`, async () => {
        await topology.isolate(alone);
        await this.proxy(edge, { do: 'route', to: topology.replica.address });
        await this.proxy(edge, { do: 'cut', kind: 'all' });
        await this.clients.strike(edge, tokens, random);
        await sleep(lasts);
        await this.proxy(edge, { do: 'route', to: topology.primary.address });
        await this.proxy(edge, { do: 'cut', kind: 'all' });
        await topology.rejoin(alone);
      });
  },

  /*
   * The replica becomes primary, and the old one does not know.  One worker of
   * an edge goes to the new one, another stays at the old one until that dies:
   * what it sees meanwhile, and puts into the zone that both use, is the past.
   * Changes are made by way of the other edge alone.  As long as both primaries
   * take writes, whoever is held up on the way to the new one sees the past as
   * well, so other faults do not go with it.
   */
  async failover(edge, random) {
    const { servers, clients, topology } = this;
    const other = EDGES.find((e) => e !== edge);
    const tokens = await this.prepare(edge, random);

    await clients.hold();
    if (!(await topology.replicated(5000)) || !tokens.length) {
      clients.release();
      return;
    }

    await this.during('failover', [], ['unavailable'], '', async (fault) => {
      const [old, moved] = servers.workers(edge);

      fault.past = { edge, worker: String(old) };
      fault.detail = `process ${old} of ${edge} stays behind`;
      await topology.promote();
      for (const door of EDGES) {
        await this.doors.tell({ do: 'route', door,
                                to: topology.primary.address });
      }
      await this.doors.tell({ do: 'cut', door: other, kind: 'all' });
      clients.release(other);
      await sleep(0.4 * this.lease);
      await clients.strike(edge, tokens, random);
      await this.proxy(edge, { do: 'cut', kind: 'all',
                               ports: servers.portsOf(moved) });
      await sleep(random.between(this.lease, 2 * this.lease));
      await topology.demote();
      await sleep(this.lease);
    });
    clients.release();
  },
};

/* failover: only if it is named, alone. */

module.exports = {
  Topology, faults, named: ['failover'], replicas: () => 0,
};
