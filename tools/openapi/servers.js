'use strict';

/*
 * A private Redis and nginx in a temporary directory, on Unix sockets.  They
 * are ended by their process ids.
 */

const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { PASSWORD } = require('./acl.js');

const root = path.resolve(__dirname, '..', '..');
const module_so = process.env.TEST_NGINX_LOAD_MODULES
                  || path.join(root, 'build/ngx_http_access_token_module.so');
const nginx = process.env.TEST_NGINX_BINARY || 'nginx';

process.env.PATH += ':/usr/sbin:/sbin';

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

class Servers {
  constructor() {
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'openapi.'));
    fs.chmodSync(this.dir, 0o755);
    this.children = [];
    this.credential = `root_${crypto.randomBytes(32).toString('hex')}`;
  }

  file(name) {
    return path.join(this.dir, name);
  }

  async start(name, command, args, socket) {
    const log = fs.openSync(this.file(`${name}.out`), 'w');
    const child = spawn(command, args, { stdio: ['ignore', log, log] });
    let failed = null;

    fs.closeSync(log);
    child.on('error', (e) => { failed = e.message; });
    child.on('exit', (code, signal) => {
      failed = failed || `ended with ${code === null ? signal : code}`;
      child.ended = true;
    });
    this.children.push(child);

    for (let i = 0; i < 200; i++) {
      if (failed) {
        throw new Error(`${name} ${failed}: `
                        + fs.readFileSync(this.file(`${name}.out`), 'utf8'));
      }
      if (await connects(socket)) {
        return child;
      }
      await sleep(50);
    }
    throw new Error(`${name} does not listen on ${socket}`);
  }

  startRedis() {
    const socket = this.file('redis.sock');

    return this.start('redis', 'redis-server',
                      ['--port', '0', '--unixsocket', socket, '--unixsocketperm',
                       '777', '--dir', this.dir, '--save', ''], socket);
  }

  /*
   * name: also that of its socket; user: the Redis user; redis: more of
   * access_token_redis; more: of the http block; locations: of the server.
   */
  startNginx(name, { user, redis, more, locations }) {
    const conf = this.file(`${name}.conf`);
    const prefix = this.file(name);
    const digest = crypto.createHash('sha256').update(this.credential)
      .digest('hex');

    fs.mkdirSync(path.join(prefix, 'logs'), { recursive: true });
    fs.writeFileSync(this.file('root'), `sha256:${digest} test\n`);
    fs.writeFileSync(this.file('password'), `${PASSWORD}\n`, { mode: 0o600 });
    fs.writeFileSync(conf, `
      ${module_so.split(/\s+/).map((m) => `load_module ${m};`).join('\n')}
      daemon off;
      worker_processes 2;
      pid ${prefix}/nginx.pid;
      error_log ${prefix}/logs/error.log info;
      events {
      }
      http {
        access_log off;
        client_body_temp_path ${prefix}/body;
        proxy_temp_path ${prefix}/proxy;
        fastcgi_temp_path ${prefix}/fastcgi;
        uwsgi_temp_path ${prefix}/uwsgi;
        scgi_temp_path ${prefix}/scgi;
        access_token_redis unix:${this.file('redis.sock')} user=${user}
                           password_file=${this.file('password')} ${redis || ''};
        access_token_root_file ${this.file('root')};
        ${more || ''}
        server {
          listen unix:${this.file(`${name}.sock`)};
          ${locations}
        }
      }
    `);

    return this.start(name, nginx, ['-p', prefix, '-c', conf, '-e',
                                    path.join(prefix, 'logs/error.log')],
                      this.file(`${name}.sock`));
  }

  async stop(child) {
    if (!child.ended) {
      const end = new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10000);
      await end;
      clearTimeout(late);
    }
  }

  async stopAll() {
    for (const child of this.children.reverse()) {
      await this.stop(child);
    }
  }

  /* Headers is a flat array: [name, value, name, value …]. */
  request(name, method, target, headers, body) {
    return new Promise((done, fail) => {
      const request = http.request({
        socketPath: this.file(`${name}.sock`),
        method,
        path: target,
        headers: ['Host', 'localhost', 'Connection', 'close', ...headers,
                  'Content-Length', String(Buffer.byteLength(body || ''))],
        timeout: 20000,
      }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () => done({
          status: response.statusCode,
          headers: response.headers,
          text: Buffer.concat(chunks).toString('utf8'),
        }));
      });
      request.on('timeout', () => request.destroy(new Error('no answer')));
      request.on('error', fail);
      request.end(body);
    });
  }
}

function connects(socket) {
  return new Promise((done) => {
    const c = net.connect(socket);
    c.on('connect', () => { c.destroy(); done(true); });
    c.on('error', () => done(false));
  });
}

module.exports = { Servers, sleep, root };
