'use strict';

/*
 * Two nginx of two workers each, in front of a topology of Redis, and the
 * proxy between them.
 *
 *     nginx a --- doors a ---+
 *                            +--- the servers of the topology
 *     nginx b --- doors b ---+
 *
 * A topology is a class in topologies/:
 *
 *     start()         its servers run, and their doors are open
 *     address(edge)   what access_token_redis is told, without wait=
 *     primary         a server that ought to answer at once, if no fault is on
 *     recovery        milliseconds of 503 after a fault, of reads and changes
 *     organizations   names, so many that all primaries have some
 *
 * and beside it { faults, named, replicas }: functions as in faults.js, which
 * of them come only if they are named, alone, and how many replicas have to
 * have what is confirmed, if these faults come.
 */

const { spawnSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { now, sleep } = require('./time.js');
const { Processes, freePort } = require('./processes.js');
const { Doors, EDGES } = require('./doors.js');

const TOPOLOGIES = {
  alone: require('./topologies/alone.js'),
  sentinel: require('./topologies/sentinel.js'),
  cluster: require('./topologies/cluster.js'),
};

const ROOT = path.resolve(__dirname, '..', '..');

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

class Servers extends Processes {
  /*
   * settings: topology, wait (text, or null), lease, maxAge and negative in
   * milliseconds, stalled(ms), died(why).
   */
  constructor(settings) {
    super();
    this.settings = settings;
    this.credential = `root_${crypto.randomBytes(32).toString('hex')}`;
    this.nginx = {};
    this.ports = {};
    this.doors = new Doors(this, settings);
    this.topology = new TOPOLOGIES[settings.topology].Topology(this, settings);
  }

  async start() {
    this.cached = this.knowsCache();
    this.doors.start();
    await this.topology.start();
    for (const edge of EDGES) {
      await this.startNginx(edge);
    }
  }

  address(edge) {
    const { wait } = this.settings;

    return this.topology.address(edge)
      + (wait ? ` wait=${wait}` : '');
  }

  /*
   * Calls late(ms) when Redis took so long to answer, which a disk that syncs
   * slowly makes it do, too.
   */
  async watchRedis(limit, late) {
    while (!this.ending) {
      const begin = now();

      try {
        await this.topology.primary.ask('PING');
      } catch (e) {
        /* it is a fault that it is away */
      }
      if (now() - begin > limit) {
        late(now() - begin);
      }
      await sleep(50);
    }
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
        access_token_redis ${this.address(edge)};
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

module.exports = { Servers, TOPOLOGIES };
