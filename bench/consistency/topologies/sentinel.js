'use strict';

/*
 * A primary and two replicas, and three Sentinels that choose another primary.
 *
 *     doors a ---+--- s1 s2 s3 (Sentinels)
 *                |      |
 *     doors b ---+      |
 *                |    doors public (replication, Sentinels)
 *                |      |
 *                +--- n1 n2 n3
 *
 * A node is known to all others by its public door: when that is silent, the
 * others take the node for dead, while an nginx may still reach it.
 */

const { comes, sleep } = require('../time.js');
const { EDGES } = require('../doors.js');
const { quietPort } = require('../processes.js');
const { Redis } = require('../redis.js');

const NODES = ['n1', 'n2', 'n3'];
const SENTINELS = ['s1', 's2', 's3'];
const MASTER = 'mymaster';

/*
 * A primary that has lost its replicas takes writes for 2 s more, and up to
 * 3 s: max-lag 1 s counts whole seconds, and is looked at once a second.  The
 * Sentinels wait as long, so that it has refused its last heartbeat when
 * another one confirms its first change.
 */
const DOWN_AFTER = 3000;
const FAILOVER_TIMEOUT = 3000;

/* All Sentinels know who is primary when they have said so: every 2 s. */
const RECOVERY = 3000;

class Topology {
  constructor(processes) {
    this.processes = processes;
    this.doors = processes.doors;
    this.recovery = { reads: RECOVERY, changes: RECOVERY };
    this.organizations = ['acme', 'umbrella', 'initech', 'globex'];
    this.nodes = [];
    this.sentinels = [];
    this.primary = null;
  }

  async start() {
    const { doors, processes } = this;
    const ports = {};

    for (const name of [...NODES, ...SENTINELS]) {
      ports[name] = await quietPort();
    }
    const of = (names) => names.map((name) => ({ name, address: ports[name] }));

    await doors.open('public', of(NODES));
    for (const edge of EDGES) {
      await doors.open(edge, of([...NODES, ...SENTINELS]));
    }
    await doors.translate([
      ...NODES.map((name) => [doors.port('public', name), name]),
      ...[...NODES, ...SENTINELS].map((name) => [ports[name], name])]);

    const primary = `127.0.0.1 ${doors.port('public', 'n1')}`;

    this.nodes = NODES.map((name) => new Redis(processes, name, {
      port: ports[name],
      'min-replicas-to-write': 1, 'min-replicas-max-lag': 1,
      'replica-announce-ip': '127.0.0.1',
      'replica-announce-port': doors.port('public', name),
      ...(name === 'n1' ? {} : { replicaof: primary }),
    }));
    this.sentinels = SENTINELS.map((name) => new Redis(processes, name, {
      port: ports[name],
      'sentinel monitor': `${MASTER} ${primary} 2`,
      'sentinel down-after-milliseconds': `${MASTER} ${DOWN_AFTER}`,
      'sentinel failover-timeout': `${MASTER} ${FAILOVER_TIMEOUT}`,
    }, { sentinel: true }));

    this.primary = this.nodes[0];
    await Promise.all(this.nodes.map((node) => node.start()));
    await Promise.all(this.sentinels.map((sentinel) => sentinel.start()));
    await this.atPeace();
  }

  address(edge) {
    return `sentinel=${MASTER} ${this.doors.addresses(edge, this.sentinels)}`;
  }

  get replicas() {
    return this.nodes.filter((node) => node !== this.primary);
  }

  /* A Sentinel that runs knows all others and both replicas as they are. */
  agrees(sentinel) {
    return sentinel.ask('SENTINEL', 'CKQUORUM', MASTER)
      .then(() => sentinel.ask('SENTINEL', 'MASTER', MASTER))
      .then((words) => {
        const is = (name) => words[words.indexOf(name) + 1];

        return is('flags') === 'master' && is('num-slaves') === '2'
          && is('num-other-sentinels') === '2'
          && Number(is('port')) === this.doors.port('public',
                                                    this.primary.name);
      });
  }

  /* All run, and know it. */
  async atPeace() {
    await comes('peace', async () => {
      const links = await Promise.all(this.replicas.map(
        (node) => node.replication('master_link_status')));
      const ports = await Promise.all(this.replicas.map(
        (node) => node.replication('master_port')));
      const agree = await Promise.all(this.sentinels.map(
        (sentinel) => this.agrees(sentinel)));

      return links.every((link) => link === 'up') && agree.every(Boolean)
        && (await this.primary.acknowledged())
        && ports.every((port) => Number(port)
                       === this.doors.port('public', this.primary.name));
    });
  }

  /* Another one than before is primary and takes writes. */
  async replaced() {
    const before = this.primary;

    await comes('a failover', async () => {
      for (const node of this.nodes.filter((n) => n !== before && n.well)) {
        if ((await node.replication('role')) === 'master') {
          await node.ask('DEL', 'none');
          this.primary = node;
          return true;
        }
      }
      return false;
    });
    return before;
  }

  /* Nobody but the one edge reaches the node, and that edge nobody else. */
  async part(edge, { name }, on) {
    const hole = (what) => this.doors.tell({ do: 'hole', kind: 'all', on,
                                             ...what });

    await Promise.all([
      hole({ door: 'public', server: name }),
      hole({ door: edge, but: name }),
      hole({ door: EDGES.find((e) => e !== edge), server: name }),
    ]);
  }
}

/*
 * See faults.js: `this` is a Faults.  A failover has two parts: 503 is excused
 * until the new primary takes writes; that the old one comes back, and what it
 * tells until Sentinels make it a replica, which takes them ten seconds, has
 * to cost nothing.
 */

const OUTAGE = ['unavailable', 'slow'];

const faults = {

  async 'kill-primary'(edge, random) {
    const { topology } = this;
    const old = topology.primary;
    const strike = await this.aim(edge, random);

    await this.undoing(async () => {
      await this.during('kill-primary', [], OUTAGE, '', async () => {
        await strike(() => old.kill());
        await topology.replaced();
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
    const old = topology.primary;
    const strike = await this.aim(edge, random);

    await this.undoing(async () => {
      await this.during('stop-primary', [], OUTAGE, '', async () => {
        await strike(() => old.halt());
        await topology.replaced();
      });
      await strike.again();
      await sleep(random.between(0, 3000));
      await this.during('rejoin', [], [], '', async () => {
        old.go();
        await topology.atPeace();
      });
    });
  },

  /* It wakes up in time. */
  async 'nap-primary'(edge, random) {
    const { primary } = this.topology;
    const lasts = random.between(200, 0.5 * DOWN_AFTER);

    await this.during('nap-primary', [], OUTAGE, `${lasts | 0} ms`,
      async () => {
        primary.halt();
        await sleep(lasts);
        primary.go();
      });
  },

  /*
   * All are well, and a replica is to be primary.  The other one follows the
   * old primary for a while, which so takes writes as before: what it alone has
   * acknowledged is lost.
   */
  async 'sentinel-failover'(edge, random) {
    const { topology } = this;
    const strike = await this.aim(edge, random);

    await this.undoing(async () => {
      await this.during('sentinel-failover', [], OUTAGE, '', async () => {
        await strike(() => random.pick(topology.sentinels)
          .ask('SENTINEL', 'FAILOVER', MASTER));
        await topology.replaced();
      });
      await strike.again();
      await this.during('rejoin', [], [], '', () => topology.atPeace());
    });
  },

  /* An edge stays with the old primary, and neither hears of the others. */
  async partition(edge, random) {
    const { topology } = this;
    const old = topology.primary;
    const strike = await this.aim(edge, random);

    await this.undoing(async () => {
      await this.during('partition', [], OUTAGE, `${edge} stays`, async () => {
        await strike(() => topology.part(edge, old, true));
        await topology.replaced();
      });
      await this.during('left-behind', [edge], OUTAGE, '', async () => {
        await strike.again();
        await sleep(random.between(1.3 * this.lease, 3 * this.lease));
        await topology.part(edge, old, false);
      });
      await this.during('rejoin', [], [], '', () => topology.atPeace());
    });
  },

  async 'kill-sentinel'(edge, random) {
    const sentinel = random.pick(this.topology.sentinels);

    await this.during('kill-sentinel', [], [], sentinel.name, async () => {
      await sentinel.kill();
      await sleep(random.between(500, 3000));
      await sentinel.start();
    });
  },

  async 'stop-sentinel'(edge, random) {
    const sentinel = random.pick(this.topology.sentinels);

    await this.during('stop-sentinel', [], [], sentinel.name, async () => {
      sentinel.halt();
      await sleep(random.between(500, 4000));
      sentinel.go();
    });
  },
};

module.exports = {
  Topology, faults, named: ['sentinel-failover'],
  replicas: (kinds) => (kinds.includes('sentinel-failover') ? 2 : 1),
};
