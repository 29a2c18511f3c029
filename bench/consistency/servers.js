'use strict';

/*
 * Two nginx of two workers each, a Redis and a replica of it, and the proxy
 * between them, in a temporary directory.  All are ended by their process ids.
 *
 *     nginx a --- door a ---+
 *                           +--- redis one (primary)
 *     nginx b --- door b ---+        |
 *                               door replication
 *                                    |
 *                               redis two (replica)
 *
 * The two may change their parts: primary and replica say which is which now.
 */

const { fork, spawn, spawnSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { now, sleep } = require('./time.js');

const EDGES = ['a', 'b'];
const ROOT = path.resolve(__dirname, '..', '..');

/* A Redis that does not tell who follows which keys are changed. */

const UNTRACKED = ['--user', 'default', 'on', 'nopass', '~*', '&*', '+@all',
                   '-client|tracking'];

process.env.PATH += ':/usr/sbin:/sbin';

const nginx = process.env.TEST_NGINX_BINARY || 'nginx';

function modules() {
  if (process.env.TEST_NGINX_LOAD_MODULES) {
    return process.env.TEST_NGINX_LOAD_MODULES.split(/\s+/);
  }
  return [path.join(ROOT, 'build',
                    process.env.MUTATION ? `mutation-${process.env.MUTATION}`
                      : '',
                    'ngx_http_access_token_module.so')];
}

class Servers {
  /* settings: lease, maxAge and negative in milliseconds, on: proxy events. */
  constructor(settings) {
    this.settings = settings;
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'consistency.'));
    fs.chmodSync(this.dir, 0o755);
    this.credential = `root_${crypto.randomBytes(32).toString('hex')}`;
    this.children = new Set();
    this.redis = {};
    this.primary = 'one';
    this.replica = 'two';
    this.nginx = {};
    this.ports = {};
    this.asked = new Map();
    this.ending = false;
  }

  file(name) {
    return path.join(this.dir, name);
  }

  async start() {
    this.cached = this.knowsCache();
    await this.startRedis(this.primary);
    await this.startProxy();
    await this.startReplica();
    await this.replicated(10000);
    for (const edge of EDGES) {
      await this.startNginx(edge);
    }
  }

  run(name, command, args) {
    const log = fs.openSync(this.file(`${name}.out`), 'a');
    const child = spawn(command, args, { stdio: ['ignore', log, log] });

    fs.closeSync(log);
    child.name = name;
    child.ended = new Promise((done) => {
      child.once('exit', (code, signal) => {
        child.end = signal || `status ${code}`;
        this.children.delete(child);
        done();
      });
      child.once('error', (e) => {
        child.end = e.message;
        this.children.delete(child);
        done();
      });
    });
    this.children.add(child);
    return child;
  }

  async until(child, seconds, ready) {
    const end = Date.now() + seconds * 1000;

    while (!(await ready())) {
      if (child.end || Date.now() > end) {
        throw new Error(
          `${child.name} does not start (${child.end || 'late'}): `
          + fs.readFileSync(this.file(`${child.name}.out`), 'utf8'));
      }
      await sleep(5);
    }
  }


  /* --- Redis ------------------------------------------------------------ */

  socket(name) {
    return this.file(`${name}.sock`);
  }

  /* A confirmed change has to outlive a kill -9: each write is synced. */
  async startRedis(name, more = []) {
    const dir = this.file(name);

    fs.mkdirSync(dir, { recursive: true });
    const child = this.run(name, 'redis-server', [
      '--port', '0', '--unixsocket', this.socket(name), '--dir', dir,
      '--save', '', '--appendonly', 'yes', '--appendfsync', 'always',
      '--repl-diskless-sync-delay', '0',
      ...(this.settings.untracked ? UNTRACKED : []), ...more]);

    await this.until(child, 20, async () => {
      try {
        return (await this.command(name, 'PING')) === '+PONG';
      } catch (e) {
        return false;
      }
    });
    this.redis[name] = child;
  }

  startReplica() {
    return this.startRedis(this.replica, [
      '--replicaof', '127.0.0.1', String(this.doors.replication)]);
  }

  /* Where a role is: a socket, a process. */
  at(role) {
    return this.socket(this[role]);
  }

  process(role) {
    return this.redis[this[role]];
  }

  tell(role, ...words) {
    return this.command(this[role], ...words);
  }

  /* One command past the proxy; the first line of the reply, or a bulk. */
  command(name, ...words) {
    return new Promise((done, fail) => {
      const socket = net.connect(this.socket(name));
      let text = '';

      socket.setTimeout(10000, () => socket.destroy(new Error('no reply')));
      socket.on('error', fail);
      socket.on('close', () => fail(new Error('Redis closed the connection')));
      socket.on('data', (data) => {
        text += data.toString('latin1');
        const line = text.indexOf('\r\n');
        if (line < 0) {
          return;
        }
        const bulk = /^\$(\d+)/.exec(text);
        if (text[0] === '-') {
          fail(new Error(`${words.join(' ')}: ${text.slice(0, line)}`));
        } else if (!bulk) {
          done(text.slice(0, line));
        } else if (text.length >= line + 4 + Number(bulk[1])) {
          done(text.slice(line + 2, -2));
        } else {
          return;
        }
        socket.destroy();
      });
      socket.write(`*${words.length}\r\n`
        + words.map((w) => `$${w.length}\r\n${w}\r\n`).join(''));
    });
  }

  /*
   * Calls late(ms) when Redis took so long to answer, which a disk that syncs
   * slowly makes it do, too.
   */
  async watchRedis(limit, late) {
    while (!this.ending) {
      const begin = now();

      try {
        await this.tell('primary', 'PING');
      } catch (e) {
        /* it is a fault that it is away */
      }
      if (now() - begin > limit) {
        late(now() - begin);
      }
      await sleep(50);
    }
  }

  async kill(role) {
    this.process(role).kill('SIGKILL');
    await this.process(role).ended;
  }

  /* The replica hears no more; alone: it is a primary that wants replicas. */
  async isolate(alone) {
    await this.proxy({ do: 'refuse', door: 'replication', on: true });
    await this.proxy({ do: 'cut', door: 'replication', kind: 'all' });
    if (alone) {
      await this.tell('replica', 'CONFIG', 'SET', 'min-replicas-to-write', '1');
      await this.tell('replica', 'REPLICAOF', 'NO', 'ONE');
    }
  }

  async rejoin(alone) {
    await this.proxy({ do: 'refuse', door: 'replication', on: false });
    if (alone) {
      await this.tell('replica', 'CONFIG', 'SET', 'min-replicas-to-write', '0');
      await this.tell('replica', 'REPLICAOF', '127.0.0.1',
                      String(this.doors.replication));
    }
  }

  /* The replica is a primary from now on; the other one does not know. */
  async promote() {
    await this.tell('replica', 'REPLICAOF', 'NO', 'ONE');
    [this.primary, this.replica] = [this.replica, this.primary];
  }

  /* The one that was primary forgets everything and begins as replica. */
  async demote() {
    await this.kill('replica');
    fs.rmSync(this.file(this.replica), { recursive: true });
    await this.proxy({ do: 'route', door: 'replication',
                       to: this.at('primary') });
    await this.startReplica();
  }

  /* Whether the replica has all that the primary has. */
  async replicated(ms) {
    const end = Date.now() + ms;
    const offset = async (role) => {
      const info = await this.tell(role, 'INFO', 'replication');
      return {
        up: /role:master/.test(info) || /master_link_status:up/.test(info),
        at: Number(/master_repl_offset:(\d+)/.exec(info)[1]),
      };
    };

    do {
      const primary = await offset('primary');
      const replica = await offset('replica');
      if (replica.up && replica.at >= primary.at) {
        return true;
      }
      await sleep(20);
    } while (Date.now() < end);
    return false;
  }


  /* --- the proxy -------------------------------------------------------- */

  async startProxy() {
    const child = fork(path.join(__dirname, 'proxy.js'));

    child.name = 'proxy';
    child.ended = new Promise((done) => child.once('exit', (code) => {
      child.end = `status ${code}`;
      this.children.delete(child);
      for (const { fail } of this.asked.values()) {
        fail(new Error('the proxy has ended'));
      }
      if (!this.ending) {
        this.settings.died('the proxy has ended');
      }
      done();
    }));
    child.on('message', (m) => {
      if (m.stalled !== undefined) {
        this.settings.stalled(m.stalled);
        return;
      }
      const asked = this.asked.get(m.id);
      this.asked.delete(m.id);
      if (m.error) {
        asked.fail(new Error(m.error));
      } else {
        asked.done(m.answer);
      }
    });
    this.children.add(child);
    this.proxyProcess = child;

    this.doors = {};
    for (const door of [...EDGES, 'replication']) {
      this.doors[door] = await this.proxy({
        do: 'open', door, to: this.at('primary') });
    }
  }

  proxy(what) {
    return new Promise((done, fail) => {
      const id = (this.lastId = (this.lastId || 0) + 1);
      this.asked.set(id, { done, fail });
      this.proxyProcess.send({ id, ...what });
    });
  }


  /* --- nginx ------------------------------------------------------------ */

  /* Before there is a cache, every look-up asks Redis; the rest is the same. */
  knowsCache() {
    const conf = this.file('probe.conf');

    fs.writeFileSync(conf, `
      ${modules().map((m) => `load_module ${m};`).join('\n')}
      error_log stderr;
      pid ${this.file('probe.pid')};
      events { }
      http {
        access_token_redis unix:${this.file('none.sock')};
        access_token_cache lease=1s;
      }
    `);
    const { status, stderr, error } = spawnSync(nginx, ['-t', '-c', conf],
                                                { encoding: 'utf8' });
    if (error) {
      throw error;
    }
    if (status !== 0 && !stderr.includes('unknown directive "access_token_c')) {
      throw new Error(stderr);
    }
    return status === 0;
  }

  async startNginx(edge) {
    const prefix = this.file(edge);
    const port = await freePort();
    const { lease, maxAge, negative } = this.settings;
    const digest = crypto.createHash('sha256').update(this.credential)
      .digest('hex');

    fs.mkdirSync(path.join(prefix, 'html'), { recursive: true });
    fs.writeFileSync(path.join(prefix, 'html', 'file'), 'content\n');
    fs.writeFileSync(this.file('root'), `sha256:${digest} test\n`);
    fs.writeFileSync(this.file(`${edge}.conf`), `
      ${modules().map((m) => `load_module ${m};`).join('\n')}
      ${process.getuid() === 0 ? 'user nobody nogroup;' : ''}
      daemon off;
      worker_processes 2;
      pid ${prefix}/nginx.pid;
      error_log ${prefix}/error.log info;
      events { worker_connections 512; }
      http {
        access_log off;
        default_type text/plain;
        keepalive_requests 1000000;
        keepalive_timeout 600s;
        client_body_temp_path ${prefix}/body;
        proxy_temp_path ${prefix}/proxy;
        fastcgi_temp_path ${prefix}/fastcgi;
        uwsgi_temp_path ${prefix}/uwsgi;
        scgi_temp_path ${prefix}/scgi;
        access_token_redis 127.0.0.1:${this.doors[edge]};
        access_token_root_file ${this.file('root')};
        ${this.cached ? `access_token_cache lease=${lease}ms
            max_age=${maxAge}ms negative=${negative}ms;` : ''}
        add_header X-Worker $pid always;
        add_header X-Verdict $access_token_verdict always;
        ${this.cached ? 'add_header X-Cache $access_token_cache always;' : ''}
        server {
          listen 127.0.0.1:${port} reuseport;
          location /api/ {
            access_token_api;
          }
          location = /file {
            access_token on;
            root ${prefix}/html;
          }
        }
      }
    `);

    const child = this.run(`nginx-${edge}`, nginx, [
      '-p', prefix, '-c', this.file(`${edge}.conf`),
      '-e', path.join(prefix, 'error.log')]);

    await this.until(child, 10, () => connects(port));
    this.nginx[edge] = child;
    this.ports[edge] = port;
  }

  /* The workers that take connections: not those that a reload lets finish. */
  workers(edge) {
    const { pid } = this.nginx[edge];
    const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`,
                                     'utf8');

    return children.trim().split(/\s+/).filter(Boolean).map(Number)
      .filter((worker) => {
        try {
          return fs.readFileSync(`/proc/${worker}/cmdline`, 'utf8')
            .startsWith('nginx: worker process')
            && !/shutting down/.test(
              fs.readFileSync(`/proc/${worker}/cmdline`, 'utf8'));
        } catch (e) {
          return false;
        }
      });
  }

  /* The ports on this side of a process's TCP connections; it may be gone. */
  portsOf(pid) {
    const inodes = new Set();
    let fds = [];

    try {
      fds = fs.readdirSync(`/proc/${pid}/fd`);
    } catch (e) {
      if (e.code !== 'ENOENT') {
        throw e;
      }
    }
    for (const fd of fds) {
      const socket = /^socket:\[(\d+)\]$/.exec(
        linkOf(`/proc/${pid}/fd/${fd}`));

      if (socket) {
        inodes.add(socket[1]);
      }
    }
    return fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => inodes.has(fields[9]))
      .map((fields) => parseInt(fields[1].split(':')[1], 16));
  }

  /* What nginx wrote that it should not have: [alert], [emerg], a crash. */
  complaints(killed) {
    const found = [];

    for (const edge of EDGES) {
      const log = fs.readFileSync(path.join(this.file(edge), 'error.log'),
                                  'utf8');
      for (const line of log.split('\n')) {
        const signal = /process (\d+) exited on signal 9/.exec(line);
        if (signal && killed.has(Number(signal[1]))) {
          continue;
        }
        if (/\[(alert|emerg|crit)\]|exited on signal/.test(line)) {
          found.push(`${edge}: ${line}`);
        }
      }
    }
    return found;
  }


  /* --- the end ---------------------------------------------------------- */

  async stop() {
    this.ending = true;
    const children = [...this.children];

    for (const child of children) {
      child.kill('SIGCONT');
      child.kill(child === this.proxyProcess ? 'SIGKILL' : 'SIGTERM');
    }
    const late = setTimeout(() => {
      children.forEach((child) => child.kill('SIGKILL'));
    }, 5000);
    await Promise.all(children.map((child) => child.ended));
    clearTimeout(late);
  }

  remove() {
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

function linkOf(file) {
  try {
    return fs.readlinkSync(file);
  } catch (e) {
    return '';
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

module.exports = { Servers, EDGES };
