'use strict';

/*
 * The Redis and the nginx of a scenario, in the folder that bench/faults has
 * made (BENCH_DIR), and what can be seen of them from outside.  Redis syncs
 * each write, so what it has confirmed outlives a kill -9.
 */

const { spawn, spawnSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const dir = process.env.BENCH_DIR;
const socket = path.join(dir, 'redis.sock');
const credential = `root_${crypto.randomBytes(24).toString('hex')}`;

const children = new Set();

process.on('exit', () => {
  for (const child of children) {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
  }
});
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143],
                              ['SIGHUP', 129]]) {
  process.on(signal, () => process.exit(code));
}

function sleep(ms) {
  return new Promise((done) => { setTimeout(done, ms); });
}

async function until(seconds, what, ready) {
  const end = performance.now() + seconds * 1000;

  while (!(await ready())) {
    if (performance.now() > end) {
      throw new Error(`${what}: not in ${seconds} s`);
    }
    await sleep(5);
  }
}

function run(command, args) {
  const log = fs.openSync(path.join(dir, 'logs', 'out'), 'a');
  const child = spawn(command, args, { stdio: ['ignore', log, log] });

  fs.closeSync(log);
  children.add(child);
  child.ended = new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', () => {
      children.delete(child);
      done();
    });
  });
  return child;
}


/* --- Redis -------------------------------------------------------------- */

const redis = {
  process: null,

  async start() {
    this.spawn();
    await until(20, 'Redis answers', () => this.answers());
  },

  spawn() {
    this.process = run('redis-server', [
      '--port', '0', '--unixsocket', socket, '--unixsocketperm', '777',
      '--dir', dir, '--save', '', '--appendonly', 'yes',
      '--appendfsync', 'always', '--logfile', path.join(dir, 'redis.log')]);
  },

  async answers() {
    try {
      return (await this.command('PING')) === 'PONG';
    } catch (e) {
      return false;
    }
  },

  async kill() {
    this.process.kill('SIGKILL');
    await this.process.ended;
  },

  async halt() {
    const { pid } = this.process;

    this.process.kill('SIGSTOP');
    await until(5, 'Redis stops', () => / T /.test(
      fs.readFileSync(`/proc/${pid}/stat`, 'utf8')));
  },

  goOn() {
    this.process.kill('SIGCONT');
  },

  /* One command; a line or a bulk. */
  command(...words) {
    return new Promise((done, fail) => {
      const c = net.connect(socket);
      let text = '';

      c.setTimeout(10000, () => c.destroy(new Error('no reply of Redis')));
      c.on('error', fail);
      c.on('close', () => fail(new Error('Redis closed the connection')));
      c.on('data', (data) => {
        text += data.toString('latin1');
        const line = text.indexOf('\r\n');
        const bulk = /^\$(\d+)/.exec(text);
        if (line < 0) {
          return;
        }
        if (text[0] === '-') {
          fail(new Error(text.slice(1, line)));
        } else if (!bulk) {
          done(text.slice(1, line));
        } else if (text.length >= line + 4 + Number(bulk[1])) {
          done(text.slice(line + 2, -2));
        } else {
          return;
        }
        c.destroy();
      });
      c.write(`*${words.length}\r\n`
              + words.map((w) => `$${w.length}\r\n${w}\r\n`).join(''));
    });
  },

  async calls(name) {
    const info = await this.command('INFO', 'commandstats');
    const found = new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(info);

    return found ? Number(found[1]) : 0;
  },

  /* Connections but the one that asks. */
  async clients() {
    const list = await this.command('CLIENT', 'LIST');

    return list.split('\n').filter((l) => l && !/ cmd=client/.test(l)).length;
  },
};


/* --- tokens ------------------------------------------------------------- */

/* Kinds as in bench/tokens.c; all but forged ones are written to Redis. */

let seed = Date.now() % 1e6;

function tokenFile(count, kind) {
  const file = path.join(dir, `${kind}.${++seed}`);
  const made = spawnSync(path.join(dir, 'make-tokens'),
                         [count, kind, seed, file],
                         { maxBuffer: 1 << 30 });

  if (made.status !== 0) {
    throw new Error(`make-tokens: ${made.stderr}`);
  }
  if (made.stdout.length > 0) {
    const put = spawnSync('redis-cli', ['-s', socket, '--pipe'],
                          { input: made.stdout, encoding: 'utf8' });
    if (!/errors: 0,/.test(put.stdout)) {
      throw new Error(`Redis takes no tokens: ${put.stdout}${put.stderr}`);
    }
  }
  return file;
}

function tokens(count, kind) {
  return fs.readFileSync(tokenFile(count, kind), 'latin1').trim().split('\n');
}


/* --- nginx -------------------------------------------------------------- */

const nginx = {
  process: null,
  port: 0,

  async start({ workers = 2, keepalive = '600s', http = '', server = '' } = {}) {
    const digest = crypto.createHash('sha256').update(credential).digest('hex');

    this.port = await freePort();
    fs.writeFileSync(path.join(dir, 'roots'), `sha256:${digest} bench\n`);
    fs.writeFileSync(path.join(dir, 'html', 'large'), 'x'.repeat(4 << 20));
    fs.writeFileSync(this.log(), '');
    fs.writeFileSync(path.join(dir, 'nginx.conf'), `
load_module ${process.env.BENCH_MODULE};
daemon off;
worker_processes ${workers};
error_log ${this.log()} notice;
pid ${dir}/nginx.pid;
events { worker_connections 1024; }
http {
    access_log off;
    default_type text/plain;
    keepalive_requests 100000000;
    keepalive_timeout ${keepalive};
    client_body_temp_path ${dir}/temp.body;
    proxy_temp_path ${dir}/temp.proxy;
    fastcgi_temp_path ${dir}/temp.fastcgi;
    uwsgi_temp_path ${dir}/temp.uwsgi;
    scgi_temp_path ${dir}/temp.scgi;
    access_token_redis unix:${socket};
    access_token_root_file ${dir}/roots;
    ${http}
    server {
        listen 127.0.0.1:${this.port};
        root ${dir}/html;
        location /api/ { access_token_api; }
        location = /metrics { access_token_status; }
        location = /stub { stub_status; }
        location = /file {
            access_token on;
            add_header X-Cache $access_token_cache always;
            empty_gif;
        }
        location = /large { access_token on; }
        ${server}
    }
}
`);
    this.process = run(process.env.BENCH_NGINX, [
      '-p', dir, '-e', this.log(), '-c', path.join(dir, 'nginx.conf')]);
    await until(10, 'nginx starts',
                () => this.workers().length === workers);
    await until(10, 'nginx listens', () => connects(this.port));
  },

  log() {
    return path.join(dir, 'logs', 'error.log');
  },

  /* All worker processes, those too that finish after a reload. */
  workers() {
    const { pid } = this.process;

    return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim().split(/\s+/).filter(Boolean).map(Number)
      .filter((w) => read(`/proc/${w}/cmdline`) !== '');
  },

  reload() {
    this.process.kill('SIGHUP');
  },

  /* Milliseconds that it took to go. */
  async quit() {
    const begin = performance.now();

    this.process.kill('SIGQUIT');
    await Promise.race([this.process.ended, sleep(10000)]);
    return performance.now() - begin;
  },

  /* The lines of the log that nginx should not write. */
  complaints() {
    return read(this.log()).split('\n').filter(
      (line) => /\[(alert|crit|emerg)\]|exited on signal/.test(line)
                && !/connect\(\) to unix:\S+ failed/.test(line));
  },

  async get(uri, headers = {}) {
    const r = await fetch(`http://127.0.0.1:${this.port}${uri}`,
                          { headers: { connection: 'close', ...headers } });
    return r.text();
  },

  async metrics() {
    return JSON.parse(await this.get('/metrics',
                                     { accept: 'application/json' }));
  },

  async api(method, uri, body) {
    const r = await fetch(`http://127.0.0.1:${this.port}/api${uri}`, {
      method,
      headers: { authorization: `Bearer ${credential}`, connection: 'close',
                 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    return { status: r.status, json: JSON.parse(await r.text() || 'null') };
  },

  async create() {
    const { status, json } = await this.api(
      'POST', '/organizations/acme/access-tokens',
      { name: 'of a benchmark',
        expires_at: new Date(Date.now() + 864e5).toISOString().slice(0, 10) });

    if (status !== 201) {
      throw new Error(`create: ${status} ${JSON.stringify(json)}`);
    }
    return json;
  },
};


/* --- processes ---------------------------------------------------------- */

function read(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (e) {
    return '';
  }
}

/* Nanoseconds that its threads have run. */

function cpu(pid) {
  return fs.readdirSync(`/proc/${pid}/task`)
    .map((t) => Number(read(`/proc/${pid}/task/${t}/schedstat`).split(' ')[0]))
    .reduce((a, b) => a + b, 0);
}

/* Kilobytes: resident, and what of it is its own (no shared memory, no file). */

function memory(pid) {
  const status = read(`/proc/${pid}/status`);
  const field = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`)
    .exec(status)?.[1] ?? NaN);

  return { rss: field('VmRSS'), own: field('RssAnon') };
}

function descriptors(pid) {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).length;
  } catch (e) {
    return 0;
  }
}

function connects(port) {
  return new Promise((done) => {
    const c = net.connect({ port, host: '127.0.0.1' });

    c.on('connect', () => { c.destroy(); done(true); });
    c.on('error', () => done(false));
  });
}

function freePort() {
  return new Promise((done) => {
    const listener = net.createServer();

    listener.listen(0, '127.0.0.1', () => {
      const { port } = listener.address();
      listener.close(() => done(port));
    });
  });
}

module.exports = {
  dir, credential, redis, nginx, tokens, tokenFile, run, sleep, until, cpu,
  memory, descriptors, freePort,
};
