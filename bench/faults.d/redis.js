'use strict';

/*
 * Redis goes away under load and comes back: killed (-9, and started again
 * from what it has written), and halted.  While it is away the load is full at
 * first, for the verdicts; then a trickle, then nothing, for the processor
 * time, which under load is that of answering.
 *
 * Just before, a token is revoked; from the end of the lease on, counted from
 * the confirmation, nobody may be let in with it.
 */

const { Load, now } = require('./client.js');
const { redis, nginx, sleep, until, cpu } = require('./servers.js');
const { Verdicts } = require('./verdicts.js');
const { figure, bound, note, median, end } = require('./figures.js');

const quick = process.argv.includes('--quick');
const rounds = quick ? 2 : 5;

const CONNECTIONS = 64;
const WORKERS = 2;
const LEASE = 1000;         /* ms */
const TRICKLE = 10;         /* requests a second */
const STEADY = 1000;        /* ms of load before */
const DOWN = { load: 1000, trickle: 2000, idle: 2000 };

/* The part of one processor that each worker takes in so many ms. */

async function busy(ms) {
  const pids = nginx.workers();
  const begin = now();
  const before = pids.map(cpu);

  await sleep(ms);
  const wall = (now() - begin) * 1e6;
  return pids.map((pid, i) => (cpu(pid) - before[i]) / wall * 100);
}

class Scenario {
  constructor(title) {
    this.title = title;
    this.verdicts = new Verdicts(64);
    this.late = [];             /* of the token that was revoked */
    this.unsteady = 0;          /* 503 while Redis was there */
    this.trickle = [];
    this.idle = [];
    this.firsts = [];           /* ms from the return to the first success */
    this.lasts = [];            /* … to the last 503 */
    this.hits = [];             /* … to the first hit */
    this.away = 0;
    this.served = 0;
    this.revoked = null;
    this.turn = 0;
  }

  next() {
    if (this.revoked && this.turn++ % 8 === 0) {
      return { kind: 'late', token: this.revoked.token,
               confirmed: this.revoked.confirmed };
    }
    return this.verdicts.next();
  }

  judge(request) {
    const { kind, status, begin, end: ended } = request;

    if (kind === 'late') {
      if (status === 200 && begin > request.confirmed + this.allowed) {
        this.late.push(begin - request.confirmed);
      }
      return;
    }
    this.verdicts.judge(request);

    if (this.phase === 'steady') {
      this.unsteady += status === 503 ? 1 : 0;
      this.served++;
    } else if (this.phase === 'back') {
      if (status === 200 && ended >= this.returned) {
        this.first ??= ended;
        if (/X-Cache: HIT/.test(request.head)) {
          this.hit ??= ended;
        }
      } else if (status === 503) {
        this.last = Math.max(this.last, ended);
      }
    } else if (this.phase === 'away') {
      this.away += status === 503 ? 1 : 0;
    }
  }

  async run(cache, fault) {
    await nginx.start({ workers: WORKERS,
                        http: cache === 'off' ? 'access_token_cache off;'
                          : `access_token_cache lease=${LEASE}ms;` });
    this.allowed = cache === 'off' ? 0 : LEASE;
    this.load = new Load({ port: nginx.port, connections: CONNECTIONS,
                           next: () => this.next(),
                           judge: (r) => this.judge(r) });
    this.load.go(Infinity);
    await sleep(500);           /* until the lease runs and the cache is full */

    for (let i = 0; i < rounds; i++) {
      await this.round(fault);
    }

    await this.load.stop();
    this.took = await nginx.quit();
    this.tell(fault);
  }

  async round(fault) {
    const made = await nginx.create();

    this.phase = 'steady';
    this.load.go(Infinity);
    await sleep(STEADY);

    this.revoked = { token: made.token, confirmed: Infinity };
    await sleep(100);
    const answer = await nginx.api(
      'POST', `/organizations/acme/access-tokens/${made.id}/revoke`);
    if (answer.status !== 200) {
      throw new Error(`revoke: ${answer.status}`);
    }
    this.revoked.confirmed = now();

    this.phase = 'going';
    await (fault === 'kill' ? redis.kill() : redis.halt());
    await sleep(DOWN.load - 1);
    this.phase = 'away';
    await sleep(300);

    await this.load.pause();
    this.load.go(TRICKLE);
    await sleep(200);
    this.trickle.push(...await busy(DOWN.trickle));
    await this.load.pause();
    this.idle.push(...await busy(DOWN.idle));

    this.first = this.hit = null;
    this.last = 0;
    this.returned = Infinity;
    this.load.go(Infinity);
    await sleep(200);
    this.phase = 'back';
    await this.comeBack(fault);
    await sleep(2500);
    this.firsts.push(this.first === null ? Infinity
      : this.first - this.returned);
    this.hits.push(this.hit === null ? Infinity : this.hit - this.returned);
    this.lasts.push(Math.max(0, this.last - this.returned));
    this.revoked = null;
    this.phase = 'steady';
  }

  async comeBack(fault) {
    if (fault === 'kill') {
      redis.spawn();
    } else {
      redis.goOn();
    }
    await until(20, 'Redis comes back', () => redis.answers());
    this.returned = now();
  }

  tell(fault) {
    const { verdicts } = this;

    console.log(`\n${this.title}, ${rounds} times, ${CONNECTIONS} connections`);
    figure('answers while Redis was there', this.served);
    figure('503 while it was away, under load', this.away);
    bound('wrong verdicts', verdicts.wrong.length, '', 0);
    bound('requests without an answer', verdicts.failed.length, '', 0);
    bound('let in after the revocation and the lease', this.late.length, '', 0);
    bound('503 while Redis was there', this.unsteady, '', 0);
    bound(`a worker's CPU while it is away, ${TRICKLE} requests/s, max`,
          Math.max(...this.trickle), '%', 5);
    bound("a worker's CPU while it is away, no request, max",
          Math.max(...this.idle), '%', 5);
    figure('first success after its return, median', median(this.firsts), 'ms');
    bound('first success after its return, max', Math.max(...this.firsts),
          'ms', 1000);
    figure('last 503 after its return, median', median(this.lasts), 'ms');
    figure('last 503 after its return, max', Math.max(...this.lasts), 'ms');
    if (this.allowed) {
      figure('first hit after its return, median', median(this.hits), 'ms');
      figure('first hit after its return, max', Math.max(...this.hits), 'ms');
    }
    bound('complaints in the log', nginx.complaints().length, '', 0);
    bound('time to quit', this.took, 'ms', 1000);
    [...new Set([...verdicts.wrong, ...verdicts.failed]), ...this.late,
     ...nginx.complaints()].slice(0, 10).forEach(note);
  }
}

async function main() {
  await redis.start();
  for (const cache of ['on', 'off']) {
    for (const fault of ['kill', 'halt']) {
      await new Scenario(`cache ${cache}, Redis is ${
        fault === 'kill' ? 'killed' : 'halted'}`).run(cache, fault);
    }
  }
  process.exit(end('redis') ? 0 : 1);
}

main().catch((e) => {
  console.error(e.stack);
  process.exit(2);
});
