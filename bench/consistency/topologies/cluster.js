'use strict';

/*
 * A cluster of three primaries and two replicas of each, so that a change is
 * confirmed when one of these is the primary, and a node that is no part of it
 * until a fault adds it.
 *
 *     doors a ---+
 *                +--- n1 ... n9, n10
 *     doors b ---+      |
 *                     doors public, bus (other nodes)
 *
 * A node is known to all others by its public door and that of its bus, and has
 * an address of its own that it connects from: so all ways between it and others
 * can be shut, while an nginx still reaches it.
 */

const { comes, sleep } = require('../time.js');
const { EDGES } = require('../doors.js');
const { quietPort } = require('../processes.js');
const { Redis } = require('../redis.js');

const SLOTS = 16384;
const PRIMARIES = 3;
const NODES = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9'];
const SPARE = 'n10';
const NODE_TIMEOUT = 1000;
const BUS = 10000;      /* above the port of a node */

class Topology {
  constructor(processes) {
    this.processes = processes;
    this.doors = processes.doors;
    this.recovery = { reads: 1500, changes: 1500 };
    this.organizations = Array.from({ length: 12 }, (_, i) => `tenant-${i}`);
    this.nodes = [];
    this.spare = null;
    this.apart = null;
  }

  async start() {
    const { doors, processes } = this;

    const ports = {};

    for (const name of [...NODES, SPARE]) {
      ports[name] = await quietPort();
    }
    const servers = [...NODES, SPARE].map((name) => (
      { name, address: ports[name] }));

    for (const group of [...EDGES, 'public']) {
      await doors.open(group, servers);
    }
    await doors.open('bus', servers.map(({ name, address }) => (
      { name, address: address + BUS })));
    await doors.translate(servers.map(({ name }) => (
      [doors.port('public', name), name])));

    const all = servers.map(({ name, address }, i) => {
      const node = new Redis(processes, name, {
        port: address,
        'bind-source-addr': `127.0.0.${10 + i}`,
        'cluster-announce-ip': '127.0.0.1',
        'cluster-announce-port': doors.port('public', name),
        'cluster-announce-bus-port': doors.port('bus', name),
        'cluster-enabled': 'yes',
        'cluster-node-timeout': NODE_TIMEOUT,
        'cluster-replica-validity-factor': 0,
        'cluster-require-full-coverage': 'no',
        'cluster-allow-reads-when-down': 'yes',
        'cluster-allow-replica-migration': 'no',
      });

      node.known = doors.port('public', name);
      node.source = `127.0.0.${10 + i}`;
      return node;
    });

    this.nodes = all.slice(0, -1);
    this.spare = all[all.length - 1];
    await Promise.all(this.nodes.map((node) => this.run(node)));
    await this.create();
  }

  async create() {
    const { nodes } = this;
    const primaries = nodes.slice(0, PRIMARIES);

    for (const [i, node] of primaries.entries()) {
      const slots = [];

      for (let slot = 0; slot < SLOTS; slot++) {
        if (Math.floor(slot * PRIMARIES / SLOTS) === i) {
          slots.push(slot);
        }
      }
      await node.ask('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
      await node.ask('CLUSTER', 'ADDSLOTS', ...slots);
    }
    await this.introduce(nodes.slice(1));
    for (const [i, node] of nodes.slice(PRIMARIES).entries()) {
      await comes('a replica', () => node.ask('CLUSTER', 'REPLICATE',
                                              primaries[i % PRIMARIES].id));
    }
    await this.atPeace();
  }

  /* Until they know the first one: who is too slow in that is forgotten. */
  async introduce(nodes) {
    const [first] = this.nodes;
    const knows = async (node, other) => new RegExp(
      `^${other.id} \\S+ (?!\\S*handshake)`, 'm')
      .test(await node.ask('CLUSTER', 'NODES'));

    await comes('an introduction', async () => {
      let all = true;

      for (const node of nodes) {
        if (!(await knows(node, first)) || !(await knows(first, node))) {
          await node.ask('CLUSTER', 'MEET', '127.0.0.1', first.known,
                         this.doors.port('bus', first.name));
          all = false;
        }
      }
      return all;
    });
  }

  async run(node) {
    await node.start();
    node.id = await node.ask('CLUSTER', 'MYID');
  }

  address(edge) {
    return `cluster ${this.doors.addresses(edge, this.nodes)}`;
  }

  /* The one that ought to answer: any that is not stopped, killed or cut off. */
  get primary() {
    return this.well[0];
  }

  get well() {
    return this.nodes.filter((node) => node.well && node !== this.apart);
  }

  /* Of a slot, as a node that is well sees it: it, and its replicas. */
  async owners(slot, asked = this.well[0]) {
    const ranges = await asked.ask('CLUSTER', 'SLOTS');
    const range = ranges.find(([from, to]) => from <= slot && slot <= to);

    return range.slice(2).map(([, port]) => [...this.nodes, this.spare].find(
      (node) => node.known === port));
  }

  async primaryFor(key) {
    const slot = await this.well[0].ask('CLUSTER', 'KEYSLOT', key);

    return (await this.owners(slot))[0];
  }

  /* That of a token, whose id begins with its tag; of any without one. */
  slotOf([token]) {
    return this.well[0].ask('CLUSTER', 'KEYSLOT',
                            token ? `{${token.id.slice(0, 4)}}` : 'any');
  }

  /* All say the same of all slots and nodes, and replicas hear primaries. */
  async atPeace() {
    await comes('peace', async () => {
      const views = await Promise.all(this.well.map((node) => this.view(node)));

      return views.every((view) => view && view === views[0]);
    });
  }

  /* null: it is not at peace. */
  async view(node) {
    const [info, known, slots, role, link, acknowledged] = await Promise.all([
      node.ask('CLUSTER', 'INFO'), node.ask('CLUSTER', 'NODES'),
      node.ask('CLUSTER', 'SLOTS'), node.replication('role'),
      node.replication('master_link_status'), node.acknowledged()]);

    const flags = known.trim().split('\n').map((line) => line.split(' ')[2]);

    if (!/^cluster_state:ok\r/m.test(info)
        || !new RegExp(`^cluster_slots_ok:${SLOTS}\r`, 'm').test(info)
        || flags.length !== this.nodes.length
        || flags.some((flag) => /fail|handshake/.test(flag))
        || (role === 'slave' && link !== 'up') || !acknowledged)
    {
      return null;
    }
    return slots.map(([from, to, [, port], ...replicas]) =>
      `${from}-${to} ${port} ${replicas.length}`).sort().join(', ');
  }

  /* Another one than `before` has the slot and takes writes, and all know. */
  async replaced(slot, before) {
    await comes('a failover', async () => {
      const nodes = this.well.filter((node) => node !== before);
      const owners = await Promise.all(nodes.map(
        async (node) => (await this.owners(slot, node))[0]));

      return owners.every((owner) => owner !== before && owner === owners[0])
        && (await owners[0].replication('role')) === 'master';
    });
  }

  /* It confirms changes again: a replica follows it. */
  async followed(slot) {
    const [primary] = await this.owners(slot);

    await comes('a replica', async () => (await primary.acknowledged())
      && Number(await primary.replication('connected_slaves')) > 0);
  }

  /* With all its keys, one after the other. */
  async move(slot, to, pause) {
    const [from] = await this.owners(slot);
    const setslot = (node, ...words) => node.ask('CLUSTER', 'SETSLOT', slot,
                                                 ...words);

    await setslot(to, 'IMPORTING', from.id);
    await setslot(from, 'MIGRATING', to.id);
    for (;;) {
      const keys = await from.ask('CLUSTER', 'GETKEYSINSLOT', slot, 1);

      if (keys.length === 0) {
        break;
      }
      await from.ask('MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS',
                     ...keys);
      await sleep(pause());
    }

    /* the new owner first: were it last and died, it would be nobody's */
    await setslot(to, 'NODE', to.id);
    await setslot(from, 'NODE', to.id);
    for (const node of this.well) {
      if ((await node.replication('role')) === 'master') {
        await setslot(node, 'NODE', to.id);
      }
    }
    return from;
  }

  /* Nobody but the one edge reaches the node, and that edge nobody else. */
  async part(edge, node, on) {
    const { name, source } = node;
    const hole = (what) => this.doors.tell({ do: 'hole', kind: 'all', on,
                                             ...what });

    this.apart = on ? node : null;
    await Promise.all([
      ...['public', 'bus'].flatMap((door) => [
        hole({ door, server: name }),
        hole({ door, but: name, from: source })]),
      hole({ door: edge, but: name }),
      hole({ door: EDGES.find((e) => e !== edge), server: name }),
    ]);
  }

  async add() {
    const { spare } = this;

    await this.run(spare);
    this.nodes.push(spare);
    await this.introduce([spare]);
    await this.atPeace();
    return spare;
  }

  /* It has no slots any more. */
  async leave() {
    const { spare } = this;

    this.nodes = this.nodes.filter((node) => node !== spare);
    for (const node of this.well) {
      await node.ask('CLUSTER', 'FORGET', spare.id);
    }
    await spare.kill();
    spare.forget();
    await this.atPeace();
  }
}

/* See faults.js: `this` is a Faults. */

const OUTAGE = ['unavailable', 'slow'];

const faults = {

  /* A slot with tokens goes to another primary, key by key. */
  async migrate(edge, random) {
    const { topology } = this;
    const strike = await this.aim(edge, random);
    const slot = await topology.slotOf(strike.tokens);
    const [from] = await topology.owners(slot);
    const primaries = [];

    for (const node of topology.nodes) {
      if (node !== from && (await node.replication('role')) === 'master') {
        primaries.push(node);
      }
    }

    await this.during('migrate', [], ['unavailable'], `slot ${slot}`,
      async () => {
        await strike(() => topology.move(slot, random.pick(primaries),
                                         () => random.between(0, 30)));
        await topology.atPeace();
      });
    await strike.again();
  },

  /* A replica takes over, and its primary agrees. */
  async 'cluster-failover'(edge, random) {
    const { topology } = this;
    const strike = await this.aim(edge, random);
    const slot = await topology.slotOf(strike.tokens);
    const [old, replica] = await topology.owners(slot);

    await this.during('cluster-failover', [], OUTAGE, `slot ${slot}`,
      async () => {
        await strike(() => replica.ask('CLUSTER', 'FAILOVER'));
        await topology.replaced(slot, old);
      });
    await strike.again();
    await topology.atPeace();
  },

  async 'kill-primary'(edge, random) {
    const { topology } = this;
    const strike = await this.aim(edge, random);
    const slot = await topology.slotOf(strike.tokens);
    const [old] = await topology.owners(slot);

    await this.undoing(async () => {
      await this.during('kill-primary', [], OUTAGE, `slot ${slot}`,
        async () => {
          await strike(() => old.kill());
          await topology.replaced(slot, old);
        });
      await strike.again();
      await sleep(random.between(0, 3000));
      await this.during('rejoin', [], [], '', async () => {
        await old.start();
        await topology.atPeace();
      });
    });
  },

  /* It wakes up when another one is primary, and does not know. */
  async 'stop-primary'(edge, random) {
    const { topology } = this;
    const strike = await this.aim(edge, random);
    const slot = await topology.slotOf(strike.tokens);
    const [old] = await topology.owners(slot);

    await this.undoing(async () => {
      await this.during('stop-primary', [], OUTAGE, `slot ${slot}`,
        async () => {
          await strike(() => old.halt());
          await topology.replaced(slot, old);
        });
      await strike.again();
      await sleep(random.between(0, 3000));
      await this.during('rejoin', [], [], '', async () => {
        old.go();
        await topology.atPeace();
      });
    });
  },

  /* An edge stays with the old primary, and neither hears of the others. */
  async partition(edge, random) {
    const { topology } = this;
    const strike = await this.aim(edge, random);
    const slot = await topology.slotOf(strike.tokens);
    const [old] = await topology.owners(slot);

    await this.undoing(async () => {
      await this.during('partition', [], OUTAGE, `slot ${slot}, ${edge} stays`,
        async () => {
          await strike(() => topology.part(edge, old, true));
          await topology.replaced(slot, old);
        });
      await this.during('left-behind', [edge], OUTAGE, '', async () => {
        await topology.followed(slot);
        await strike.again();
        await sleep(random.between(1.3 * this.lease, 3 * this.lease));
        await topology.part(edge, old, false);
      });
      await this.during('rejoin', [], [], '', () => topology.atPeace());
    });
  },

  /* A node comes, is given a slot with tokens, gives it back, and goes. */
  async 'add-node'(edge, random) {
    const { topology } = this;
    const strike = await this.aim(edge, random);
    const slot = await topology.slotOf(strike.tokens);
    const pause = () => random.between(0, 30);
    const spare = await topology.add();

    await this.during('add-node', [], ['unavailable'], `slot ${slot}`,
      async () => {
        let from;

        await strike(async () => {
          from = await topology.move(slot, spare, pause);
        });
        await topology.atPeace();
        await strike.again();
        await sleep(random.between(500, 2000));
        await topology.move(slot, from, pause);
        await topology.leave();
      });
  },
};

module.exports = { Topology, faults, named: [], replicas: () => 1 };
