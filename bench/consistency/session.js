'use strict';

/*
 * One run from its start to its result: servers, clients and faults for so
 * many seconds, then none of these while what is left is read and judged.
 */

const { now, sleep, watch, drift } = require('./time.js');
const { random } = require('./random.js');
const { EDGES } = require('./doors.js');
const { Servers } = require('./servers.js');
const { World } = require('./world.js');
const { Clients } = require('./clients.js');
const { Faults } = require('./faults.js');
const report = require('./report.js');

/* What is stated: docs/consistency.md says why.  Milliseconds. */

const MARGIN = 50;          /* beyond the lease, for clocks of milliseconds */
const SETTLE = 6000;        /* until an unanswered change is done or lost */
const NEGATIVE = 2000;      /* an unknown token is cached so long */
const STALL = 100;          /* so late is a fault of the machine */

class Run {
  constructor(settings) {
    this.settings = settings;
    this.servers = null;
    this.ended = false;
  }

  async run() {
    const { settings } = this;
    const { seed, seconds, lease, maxAge } = settings;
    const streams = (name) => random(seed, name);

    this.servers = new Servers({
      lease, maxAge, negative: NEGATIVE, untracked: settings.untracked,
      topology: settings.topology, wait: settings.wait,
      stalled: (ms) => world.stalled(ms),
      died: (why) => { throw new Error(why); },
    });

    const { recovery } = this.servers.topology;
    const world = new World({
      lease, maxAge, margin: MARGIN, recovery, settle: SETTLE, slack: MARGIN,
    });

    if (!settings.quiet) {
      console.log(`${settings.topology}, seed ${seed}, ${seconds} s, lease `
                  + `${lease} ms, ${settings.wait ? `wait=${settings.wait}, `
                    : ''}faults: `
                  + `${settings.kinds.join(' ') || 'none'}`);
    }

    await this.servers.start();

    const clients = new Clients(this.servers, world, streams,
                                { lives: 12, readers: 6, pause: 8 });
    const faults = new Faults(this.servers, world, clients, streams, {
      lease, maxAge, untracked: settings.untracked,
      topology: settings.topology,
      gap: { edge: 2500, redis: 4000 },
    });
    const lag = watch(STALL, (start, end) => world.stalled(end - start));
    this.servers.watchRedis(STALL, (ms) => world.slowRedis(ms));
    const judge = setInterval(() => world.judge(), 1000);
    const began = now();

    clients.start();
    setTimeout(() => faults.stop(), seconds * 1000);
    await faults.run(settings.kinds);
    await sleep(began + seconds * 1000 - now());

    /* all is well again: no token is touched, and everything has to be right */
    clients.lives = false;
    await sleep(recovery.reads + lease + 500);
    await clients.stop();

    clearInterval(judge);
    lag.stop();
    world.judge(true);

    const result = report.result(settings, world, {
      cached: this.servers.cached,
      complaints: this.servers.complaints(faults.killed),
      seconds: (now() - began) / 1000,
      lag: lag.max(),
      drift: drift(),
      workers: EDGES.map((edge) => this.servers.workers(edge).length),
    });

    if (!settings.quiet || !result.pass) {
      report.print(result, world);
    }
    return result;
  }

  async end() {
    if (this.servers && !this.ended) {
      this.ended = true;
      await this.servers.stop();
      if (this.settings.keep) {
        console.log(`logs: ${this.servers.dir}`);
      } else {
        this.servers.remove();
      }
    }
  }

  /* The last resort of a process that exits early. */
  kill() {
    if (this.servers && !this.ended) {
      this.servers.kill();
      if (!this.settings.keep) {
        this.servers.remove();
      }
    }
  }
}

module.exports = { Run };
