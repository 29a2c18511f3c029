'use strict';

/*
 * Clients that come and go: a connection for each request, pipelines, half
 * requests, clients that leave before the answer, slow readers, slow writers,
 * streams of HTTP/2 that are reset.  Redis is halted for 0.3 s now and then, so
 * that there are requests that wait when their client goes.  Whoever stays for
 * an answer looks at it.
 *
 * Nothing of all that may be left: the memory of each worker is sampled, and
 * at the end its descriptors are counted, and it has to quit at once.
 */

const http2 = require('node:http2');
const net = require('node:net');
const { now } = require('./client.js');
const { credential, redis, nginx, tokens, sleep, until, memory, descriptors,
        freePort, deadline } = require('./servers.js');
const { figure, bound, note, median, end } = require('./figures.js');

const quick = process.argv.includes('--quick');
const SECONDS = quick ? 20 : Number(process.env.MINUTES || 10) * 60;
const WARM = SECONDS / 5;
const GROWTH = { own: 5, rss: quick ? 5 : 2 };  /* percent */
const SAMPLE = quick ? 500 : 3000;      /* ms */
const WORKERS = 2;

/* Clients of a kind under way at the same time, and ms between two of one. */

const KINDS = {
  once: [4, 20], pipeline: [2, 50], half: [8, 20], leave: [16, 10],
  reset: [8, 10], slowReader: [4, 50], slowWriter: [4, 50], streams: [2, 50],
  api: [2, 100],
};

const ANSWERS = { active: 200, revoked: 401, forged: 401 };

const done = {};
const wrong = [];
let ending = false;
let lists;

function any(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function token(kind = any(['active', 'active', 'revoked', 'forged'])) {
  return { kind, token: any(lists[kind]) };
}

function request(t, { method = 'GET', uri = '/file', more = '' } = {}) {
  return `${method} ${uri} HTTP/1.1\r\nHost: bench\r\n`
         + `Authorization: Bearer ${t.token}\r\n${more}\r\n`;
}

function look(who, t, status) {
  if (status !== 503 && status !== ANSWERS[t.kind]) {
    wrong.push(`${who}: ${status} for ${t.kind}`);
  }
}

/* A connection; what comes is in text.  A client that never ends is wrong. */

function connect() {
  return new Promise((ready, fail) => {
    const c = net.connect({ port: nginx.port, host: '127.0.0.1' });

    c.text = '';
    c.bytes = 0;
    c.on('data', (data) => {
      c.bytes += data.length;
      if (c.text.length < 65536) {
        c.text += data.toString('latin1');
      }
    });
    c.on('error', (e) => { c.why = e.code; });
    c.gone = new Promise((r) => { c.on('close', r); });
    c.setTimeout(20000, () => {
      wrong.push('no answer in 20 s');
      c.destroy();
    });
    c.once('connect', () => ready(c));
    c.once('close', () => fail(new Error(`connect: ${c.why}`)));
  });
}

function statuses(c) {
  return [...c.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => Number(m[1]));
}

const clients = {

  /* A connection for one request. */
  async once() {
    const c = await connect();
    const t = token();

    c.write(request(t, { more: 'Connection: close\r\n' }));
    await c.gone;
    look('once', t, statuses(c)[0]);
  },

  async pipeline() {
    const c = await connect();
    const all = Array.from({ length: 10 }, () => token());

    c.write(all.map((t, i) => request(
      t, i === 9 ? { more: 'Connection: close\r\n' } : {})).join(''));
    await c.gone;
    const got = statuses(c);
    all.forEach((t, i) => look('pipeline', t, got[i]));
  },

  /* Some of a request, at times the rest of it later. */
  async half() {
    const c = await connect();
    const t = token();
    const text = request(t, { more: 'Connection: close\r\n' });
    const cut = 1 + Math.floor(Math.random() * (text.length - 1));

    c.write(text.slice(0, cut));
    await sleep(Math.random() * 500);
    if (Math.random() < 0.3) {
      c.write(text.slice(cut));
      await c.gone;
      look('half', t, statuses(c)[0]);
    } else {
      c.destroy();
    }
  },

  /* Gone before the answer, by FIN. */
  async leave() {
    const c = await connect();

    c.write(request(token(), any([
      {}, {}, { method: 'POST', more: 'Content-Length: 100\r\n' }])));
    await sleep(any([0, 0, 1, 5, 50]));
    c.destroy();
  },

  /* Gone by RST, at times with requests behind it. */
  async reset() {
    const c = await connect();

    c.write(request(token()).repeat(any([1, 1, 5])));
    await sleep(any([0, 0, 1, 5, 50]));
    c.resetAndDestroy();
  },

  /* 4 MB, of which some is read, and now and then all. */
  async slowReader() {
    const c = await connect();
    const t = token('active');
    const all = Math.random() < 0.2;

    c.write(request(t, { uri: '/large', more: 'Connection: close\r\n' }));
    for (let i = 0; i < 10 && !c.destroyed; i++) {
      c.pause();
      await sleep(50);
      c.resume();
      await sleep(1);
    }
    if (all) {
      await c.gone;
      look('slowReader', t, statuses(c)[0]);
      if (statuses(c)[0] === 200 && c.bytes < 4 << 20) {
        wrong.push(`slowReader: ${c.bytes} bytes`);
      }
    } else {
      c.destroy();
    }
  },

  /* The head in small pieces. */
  async slowWriter() {
    const c = await connect();
    const t = token();
    const text = request(t, { more: 'Connection: close\r\n' });

    for (let i = 0; i < text.length; i += 16) {
      c.write(text.slice(i, i + 16));
      await sleep(10);
    }
    await c.gone;
    look('slowWriter', t, statuses(c)[0]);
  },

  /* HTTP/2: ten streams, of which some are reset. */
  async streams() {
    const session = http2.connect('http://bench', {
      createConnection: () => net.connect({ port: nginx.h2,
                                            host: '127.0.0.1' }) });
    session.on('error', () => {});

    await Promise.all(Array.from({ length: 10 }, () => new Promise((r) => {
      const t = token();
      const stream = session.request({ ':path': '/file',
                                       authorization: `Bearer ${t.token}` });

      stream.on('error', () => {});
      stream.on('response', (h) => look('streams', t, h[':status']));
      stream.on('close', r);
      stream.resume();
      if (Math.random() < 0.4) {
        setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL),
                   any([0, 1, 5, 50]));
      }
    })));
    if (Math.random() < 0.5) {
      session.destroy();
    } else {
      session.close();
    }
  },

  /* Callers of the API who leave in the middle of a body, or of an answer. */
  async api() {
    const c = await connect();
    const uri = '/api/organizations/acme/access-tokens';
    const body = JSON.stringify({ name: 'x', expires_at: '2020-01-01' });
    const t = { token: any([credential, token().token]) };

    if (Math.random() < 0.5) {
      c.write(request(t, { uri }));
    } else {
      c.write(request(t, { method: 'POST', uri,
                           more: 'Content-Type: application/json\r\n'
                                 + `Content-Length: ${body.length}\r\n` }));
      await sleep(any([0, 5]));
      c.write(body.slice(0, any([0, 10, body.length])));
    }
    await sleep(any([0, 1, 5, 100]));
    c.destroy();
  },
};

async function client(kind, pause) {
  await sleep(Math.random() * 500);
  while (!ending) {
    try {
      await clients[kind]();
      done[kind] = (done[kind] || 0) + 1;
    } catch (e) {
      wrong.push(`${kind}: ${e.message}`);
      await sleep(100);
    }
    await sleep(pause * (0.5 + Math.random()));
  }
}

async function haltNowAndThen() {
  let halts = 0;

  while (!ending) {
    await sleep(1000 + Math.random() * 2000);
    await redis.halt();
    await sleep(300);
    redis.goOn();
    halts++;
  }
  return halts;
}

async function sample(workers, into) {
  while (!ending) {
    workers.forEach((w, i) => into[i].push({ at: now(), ...memory(w) }));
    await sleep(SAMPLE);
  }
}

/* What the memory has grown by, in percent: the median of the second half
   beside that of the first one, after it has warmed up. */

function growth(samples, begin, what) {
  const warm = samples.filter((s) => s.at > begin + WARM * 1000)
    .map((s) => s[what]);
  const half = warm.length >> 1;

  return 100 * (median(warm.slice(half)) / median(warm.slice(0, half)) - 1);
}

async function main() {
  deadline(SECONDS + 90);
  const h2 = await freePort();

  await redis.start();
  lists = { active: tokens(500, 'active'), revoked: tokens(100, 'revoked'),
            forged: tokens(2000, 'forged') };
  await nginx.start({
    workers: WORKERS,
    keepalive: '3s',
    http: 'access_token_last_use 1s;',
    server: `listen 127.0.0.1:${h2} http2;`,
  });
  nginx.h2 = h2;
  await sleep(1000);

  const workers = nginx.workers();
  const before = Math.max(...workers.map(descriptors));
  const clientsBefore = await redis.clients();
  const samples = workers.map(() => []);
  const begin = now();
  const running = Object.entries(KINDS).flatMap(([kind, [n, pause]]) => (
    Array.from({ length: n }, () => client(kind, pause))));
  const halting = haltNowAndThen();
  const sampling = sample(workers, samples);

  await sleep(SECONDS * 1000);
  ending = true;
  const halts = await halting;
  await Promise.all([...running, sampling]);

  /* Of a client that leaves while nginx skips its body nginx hears nothing,
     and keeps the connection for its keepalive_timeout. */
  await until(20, 'no client is left', async () => /^Active connections: 1 /m
    .test(await nginx.get('/stub')));
  await sleep(1500);
  const metrics = await nginx.metrics();
  const left = Math.max(...workers.map(descriptors));
  const clientsAfter = await redis.clients();
  const alive = workers.join() === nginx.workers().join();
  const quit = await nginx.quit();

  console.log(`\n${SECONDS} s of clients that come and go, `
              + `${WORKERS} workers`);
  Object.entries(done).forEach(([kind, n]) => figure(`clients: ${kind}`, n));
  figure('times that Redis was halted for 0.3 s', halts);
  figure('checks that were answered with 503',
         metrics.access_token_requests_total.unavailable);
  bound('wrong answers, or none', wrong.length, '', 0);
  samples.forEach((s, i) => {
    const own = s.map((m) => m.own);
    const tenth = Math.ceil(own.length / 10);

    figure(`worker ${i}: memory of its own, at the end`, own[own.length - 1],
           'kB');
    bound(`worker ${i}: … has grown by`,
          growth(s, begin, 'own'), '%', GROWTH.own);
    bound(`worker ${i}: resident memory has grown by`,
          growth(s, begin, 'rss'), '%', GROWTH.rss);
    note(`in ten parts of the time: ${Array.from({ length: 10 }, (_, n) => (
      median(own.slice(n * tenth, (n + 1) * tenth)))).join(' ')} kB`);
  });
  bound('descriptors of a worker, more than before', left - before, '', 0);
  bound('connections to Redis, more than before', clientsAfter - clientsBefore,
        '', 0);
  bound('workers that died', alive ? 0 : 1, '', 0);
  bound('complaints in the log', nginx.complaints().length, '', 0);
  bound('time to quit', quit, 'ms', 1000);
  const counts = {};
  wrong.forEach((w) => { counts[w] = (counts[w] || 0) + 1; });
  Object.entries(counts).slice(0, 10).forEach(([w, n]) => note(`${n} × ${w}`));
  nginx.complaints().slice(0, 5).forEach(note);

  process.exit(end('churn') ? 0 : 1);
}

main().catch((e) => {
  console.error(e.stack);
  process.exit(2);
});
