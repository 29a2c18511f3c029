'use strict';

/*
 * Forged tokens, each well-formed and none like the other, as fast as nginx
 * answers them; meanwhile 1000 good ones are in use, each once a second.  Then
 * forged ones that come twice in a row.
 */

const { Load, header, now } = require('./client.js');
const { dir, redis, nginx, tokens, tokenFile, sleep, memory }
  = require('./servers.js');
const { spawn } = require('node:child_process');
const { figure, bound, note, median, end } = require('./figures.js');

const quick = process.argv.includes('--quick');
const FORGED = quick ? 50000 : 1000000;
const REPEATED = 10000;
const GOOD = 1000;
const CONNECTIONS = 64;
const WORKERS = 2;
const MAX_AGE = 60000;      /* ms; after that even a good one is asked for */

/* Counts of bench/faults.d/send.c. */

function send(file, repeat, connections) {
  return new Promise((done, fail) => {
    const child = spawn(`${dir}/send`, [nginx.port, connections, repeat, file],
                        { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';

    process.on('exit', () => child.kill());
    child.stdout.on('data', (data) => { text += data; });
    child.on('error', fail);
    child.on('close', (code) => {
      const [sent, ok, refused, unavailable, other, lost, seconds]
        = text.trim().split(' ').map(Number);

      if (code !== 0) {
        fail(new Error(`send: status ${code}`));
      }
      done({ sent, ok, refused, unavailable, other, lost, seconds });
    });
  });
}

class Good {
  constructor() {
    this.tokens = tokens(GOOD, 'active').map((token) => (
      { token, asked: -Infinity, seen: 0, gap: 0 }));
    this.n = 0;
    this.requests = this.bad = this.asked = this.early = 0;
    this.why = [];
    this.latencies = [];
  }

  next() {
    const known = this.tokens[this.n++ % GOOD];

    return { token: known.token, known };
  }

  /* Redis may be asked for it when it is new, and after its time. */
  judge(r) {
    const cache = header(r, 'X-Cache');

    this.requests++;
    this.latencies.push(r.end - r.begin);
    if (r.known.seen) {
      r.known.gap = Math.max(r.known.gap, r.begin - r.known.seen);
    }
    r.known.seen = r.begin;

    if (r.status !== 200) {
      this.bad++;
      this.why.push(`good: ${r.status} ${r.lost || ''}`);
    } else if (cache !== 'HIT') {
      this.asked++;
      if (r.begin - r.known.asked < MAX_AGE - 1000) {
        this.early++;
        this.why.push(`good: ${cache}`);
      }
      r.known.asked = r.begin;
    }
  }
}

/* Commands that it takes when each comes three times in a row. */

async function repeat(good, file, connections) {
  const reads = await redis.calls('hmget');
  const asked = good.asked;
  const result = await send(file, 3, connections);

  return { result, reads: await redis.calls('hmget') - reads
                          - (good.asked - asked) };
}

async function main() {
  await redis.start();
  const good = new Good();
  const forged = tokenFile(FORGED, 'forged');   /* takes a second */
  const repeated = { 1: tokenFile(REPEATED, 'forged'),
                     [CONNECTIONS]: tokenFile(REPEATED, 'forged') };
  await nginx.start({ workers: WORKERS });

  const load = new Load({ port: nginx.port, connections: 8,
                          next: () => good.next(),
                          judge: (r) => good.judge(r) });
  await sleep(1000);
  load.go(GOOD * 1.5);          /* each every 0.7 s */
  await sleep(2000);

  const workers = nginx.workers();
  const before = workers.map(memory);
  const metrics = await nginx.metrics();
  const asked = good.asked;
  const reads = await redis.calls('hmget');
  const usedMemory = async () => Number(
    /used_memory:(\d+)/.exec(await redis.command('INFO', 'memory'))[1]);
  const redisBefore = await usedMemory();

  const flood = await send(forged, 1, CONNECTIONS);

  const misses = good.asked - asked;
  const calls = await redis.calls('hmget') - reads;
  const after = workers.map(memory);
  const later = await nginx.metrics();
  const redisAfter = await usedMemory();
  const grown = (name) => later[name] - metrics[name];

  /* the same ones again, at once */
  const again = {};
  for (const connections of [1, CONNECTIONS]) {
    again[connections] = await repeat(good, repeated[connections],
                                      connections);
  }

  await load.stop();
  const same = workers.join() === nginx.workers().join();
  const quit = await nginx.quit();

  console.log(`\n${FORGED} distinct forged tokens, ${CONNECTIONS} connections`);
  figure('time', flood.seconds, 's');
  figure('forged tokens a second', flood.sent / flood.seconds, '/s');
  bound('forged tokens not answered with 401', flood.sent - flood.refused, '',
        0);
  figure('… of these 503', flood.unavailable);
  bound('HMGET for the forged tokens', calls - misses, '', FORGED);
  figure('reads without a lease, each with one more write',
         grown('access_token_reads_fenced_total'));
  figure('leases that ended',
         grown('access_token_lease_lapses_total'));
  figure(`requests with ${GOOD} good tokens`, good.requests);
  figure('longest time between two with the same one',
         Math.max(...good.tokens.map((t) => t.gap)) / 1000, 's');
  bound('… not 200', good.bad, '', 0);
  bound('… no hit, but for the first and after max_age', good.early, '', 0);
  figure('… their time, median', median(good.latencies), 'ms');
  bound('evictions', grown('access_token_cache_evictions_total'), '', 0);
  bound('memory of a worker, its own, grown by',
        Math.max(...after.map((m, i) => m.own - before[i].own)), 'kB', 1024);
  figure('memory of a worker after, its own',
         Math.max(...after.map((m) => m.own)), 'kB');
  bound('shared memory that a worker sees',
        Math.max(...workers.map((w, i) => after[i].rss - after[i].own)), 'kB',
        10240 + 8192 + 1024);
  figure('memory of Redis, grown by', (redisAfter - redisBefore) / 1024, 'kB');

  for (const [connections, { result, reads: n }] of Object.entries(again)) {
    console.log(`\n${REPEATED} forged tokens, each three times in a row, `
                + `${connections} connection(s)`);
    bound('not answered with 401', result.sent - result.refused, '', 0);
    /* Another id may take the place of one, and the more the more there are. */
    bound('HMGET for them', n, '',
          REPEATED * (connections === '1' ? 1 : 1.05));
  }

  console.log('\nAfterwards');
  bound('workers that died', same ? 0 : 1, '', 0);
  bound('complaints in the log', nginx.complaints().length, '', 0);
  bound('time to quit', quit, 'ms', 1000);
  [...new Set([...good.why, ...nginx.complaints()])].slice(0, 10).forEach(note);

  process.exit(end('flood') ? 0 : 1);
}

main().catch((e) => {
  console.error(e.stack);
  process.exit(2);
});
