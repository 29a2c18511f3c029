'use strict';

/*
 * Reloads under load.  A reload is sent a tenth of a second after the one
 * before, and not until the workers of the one before it are gone, or else
 * nginx itself would gather them: each costs its memory.  What is left over at
 * the end is compared with the beginning.
 */

const { Load, now } = require('./client.js');
const { redis, nginx, sleep, until, memory, descriptors }
  = require('./servers.js');
const { Verdicts } = require('./verdicts.js');
const { figure, bound, note, median, end } = require('./figures.js');

const quick = process.argv.includes('--quick');
const reloads = quick ? 20 : 200;

const CONNECTIONS = 64;
const WORKERS = 2;
const PACE = 100;           /* ms between reloads, at least */
const PATIENCE = 10;        /* seconds until the workers of one are gone */

async function state() {
  const workers = nginx.workers();

  return {
    workers: workers.length,
    master: memory(nginx.process.pid).own,
    own: Math.max(...workers.map((w) => memory(w).own)),
    descriptors: Math.max(...workers.map(descriptors)),
    masterDescriptors: descriptors(nginx.process.pid),
    clients: await redis.clients(),
  };
}

/* Requests that nginx has begun.  A connection that it closes between two is
   none, one that it closes upon a request is. */

async function taken() {
  return Number(/requests\n(?: \d+){2} (\d+)/.exec(await nginx.get('/stub'))[1]);
}

/* The new workers are there and the old ones are gone. */

async function reload() {
  const old = nginx.workers();
  const begin = now();
  let started = 0;

  nginx.reload();
  await until(PATIENCE, 'the workers of a reload go', () => {
    const workers = nginx.workers();
    const fresh = workers.filter((w) => !old.includes(w)).length;

    if (fresh === WORKERS && !started) {
      started = now();
    }
    return fresh === WORKERS && workers.length === WORKERS;
  });
  return { took: now() - begin, drained: now() - started };
}

async function main() {
  await redis.start();
  const verdicts = new Verdicts(64);
  await nginx.start({ workers: WORKERS });

  const load = new Load({ port: nginx.port, connections: CONNECTIONS,
                          next: () => verdicts.next(),
                          judge: (r) => verdicts.judge(r) });
  load.go(Infinity);
  await sleep(1000);

  /* The first reload makes the master what it is from then on. */
  await load.pause();
  for (let i = 0; i < 3; i++) {
    await reload();
  }
  load.close();
  await sleep(500);
  const before = await state();
  const metrics = await nginx.metrics();
  const took0 = await taken();

  verdicts.reset();
  const { requests, retried } = load;
  const begin = now();
  const took = [], drained = [];

  load.go(Infinity);
  for (let i = 0; i < reloads; i++) {
    const due = now() + PACE;
    const r = await reload();

    took.push(r.took);
    drained.push(r.drained);
    await sleep(Math.max(0, due - now()));
  }
  const seconds = (now() - begin) / 1000;
  await load.stop();
  await sleep(500);

  const after = await state();
  const unanswered = await taken() - took0 - 1;     /* the one that asks */
  const later = await nginx.metrics();
  const statuses = { ...verdicts.statuses };
  const caches = { ...verdicts.caches };
  const sent = load.requests - requests;
  const flushes = Object.entries(later.access_token_cache_flushes_total)
    .map(([cause, n]) => [
      cause, n - metrics.access_token_cache_flushes_total[cause]])
    .filter(([, n]) => n > 0);

  const quit = await nginx.quit();

  console.log(`\n${reloads} reloads, ${CONNECTIONS} connections, `
              + `${WORKERS} workers`);
  figure('time', seconds, 's');
  figure('reloads a second', reloads / seconds, '/s');
  figure('a reload until the old workers are gone, median', median(took), 'ms');
  figure('a reload until the old workers are gone, max', Math.max(...took),
         'ms');
  figure('requests', sent);
  figure('sent again, their connection was closed between two',
         load.retried - retried);
  bound('requests without an answer', verdicts.failed.length, '', 0);
  bound('requests that nginx began, more than answers',
        unanswered - Object.entries(statuses).reduce(
          (sum, [status, n]) => sum + (status === '0' ? 0 : n), 0), '', 0);
  bound('wrong verdicts', verdicts.wrong.length, '', 0);
  bound('503', statuses[503] || 0, '', 0);
  bound('answers that nobody asked for', load.surprises, '', 0);
  figure('answers from the cache', 100 * (caches.HIT || 0) / sent, '%');
  figure('answers that asked Redis, a miss', caches.MISS || 0);
  figure('answers that asked Redis, no lease', caches.BYPASS || 0);
  figure('times that the cache became void',
         flushes.reduce((sum, [, n]) => sum + n, 0));
  flushes.forEach(([cause, n]) => note(`cause "${cause}": ${n}`));
  figure('worker processes before', before.workers);
  bound('worker processes after', after.workers, '', before.workers);
  figure('connections to Redis before', before.clients);
  bound('connections to Redis after', after.clients, '', before.clients);
  figure('descriptors of a worker before', before.descriptors);
  bound('descriptors of a worker after', after.descriptors, '',
        before.descriptors);
  bound('descriptors of the master after', after.masterDescriptors, '',
        before.masterDescriptors);
  figure('memory of the master before, its own', before.master, 'kB');
  bound('memory of the master after', after.master, 'kB',
        Math.round(before.master * 1.1));
  figure('memory of a worker before, its own', before.own, 'kB');
  bound('memory of a worker after', after.own, 'kB',
        Math.round(before.own * 1.1));
  bound('complaints in the log', nginx.complaints().length, '', 0);
  bound('time to quit', quit, 'ms', 1000);
  [...new Set([...verdicts.failed, ...verdicts.wrong, ...nginx.complaints()])]
    .slice(0, 10).forEach(note);

  process.exit(end('reloads') ? 0 : 1);
}

main().catch((e) => {
  console.error(e.stack);
  process.exit(2);
});
