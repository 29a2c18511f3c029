'use strict';

/*
 * nginx with the API, the console by the snippet of docs/console.md, and
 * something to protect, on the Redis of the run.
 *
 *     gateway.localhost    one signs in with a credential
 *     identity.localhost   the gateway knows who it is: by the cookie "person",
 *                          which stands for a login in front of it
 *
 * The environment is that of tools/test-one.
 */

const { execFileSync, spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const root = path.resolve(__dirname, '..', '..', '..');
const env = process.env;

const PEOPLE = {
  olga: 'organization_admin:acme',
  gunnar: 'group_admin:acme/dev group_admin:acme/ops group_admin:zenith/web',
  gina: 'group_admin:acme/dev',
  ute: 'organization_user:acme',
};

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/*
 * What this process has started; none of it outlives it.  SIGKILL would leave
 * the workers of nginx behind.
 */

const children = new Set();

process.on('exit', () => children.forEach(({ child }) =>
  child.kill('SIGTERM')));

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => process.exit(1));
}


class Process {
  constructor(log, command, args) {
    const out = fs.openSync(log, 'a');

    this.ended = false;
    this.log = log;
    this.child = spawn(command, args, { stdio: ['ignore', out, out] });
    this.end = new Promise((done) => {
      this.child.on('exit', done);
      this.child.on('error', done);
    }).then(() => {
      this.ended = true;
      children.delete(this);
    });
    children.add(this);
    fs.closeSync(out);
  }

  async until(ready, what) {
    for (let i = 0; i < 1000 && !this.ended; i++) {
      if (await ready()) {
        return;
      }
      await pause(10);
    }
    throw new Error(`${what}: ${fs.readFileSync(this.log, 'utf8')}`);
  }

  async stop(signal) {
    const late = setTimeout(() => this.child.kill('SIGTERM'), 10000);

    this.child.kill(signal);
    await this.end;
    clearTimeout(late);
  }
}

/* Ends what a failure has left. */

function stopAll() {
  return Promise.all([...children].map((child) => child.stop('SIGTERM')));
}


/* A Redis that a test may end and start again; what it holds stays. */

class Redis {
  constructor() {
    this.dir = fs.mkdtempSync(path.join(path.dirname(env.TEST_NGINX_SERVROOT),
                                        'redis.'));
    this.socket = path.join(this.dir, 'redis.sock');
  }

  async start() {
    this.process = new Process(path.join(this.dir, 'log'), 'redis-server', [
      '--port', '0', '--unixsocket', this.socket, '--unixsocketperm', '777',
      '--dir', this.dir, '--save', '', '--appendonly', 'yes',
      '--appendfsync', 'always',
    ]);
    await this.process.until(() => connects(this.socket),
                             'Redis did not start');
  }

  stop() {
    return this.process.stop('SIGTERM');
  }
}


/*
 * http: further directives of the http block; redis: the socket of another
 * Redis.
 */

class Gateway {
  static async start(options = {}) {
    const gateway = new Gateway();

    await gateway.restart(options);
    return gateway;
  }

  constructor() {
    this.dir = env.TEST_NGINX_SERVROOT;
    this.port = env.TEST_NGINX_PORT;
    this.root = `root_${crypto.randomBytes(32).toString('hex')}`;
    this.nginx = null;
    fs.mkdirSync(path.join(this.dir, 'html'), { recursive: true });
    fs.writeFileSync(path.join(this.dir, 'html/index.html'), 'let in\n');
    fs.writeFileSync(path.join(this.dir, 'root'), `sha256:${
      crypto.createHash('sha256').update(this.root).digest('hex')} test\n`);
  }

  async restart({ http = '', redis = env.TEST_NGINX_REDIS_SOCKET } = {}) {
    const conf = path.join(this.dir, 'nginx.conf');

    if (this.nginx) {
      await this.nginx.stop('SIGQUIT');
    }
    this.socket = redis;
    this.http = http;
    fs.writeFileSync(conf, this.configuration(http));
    this.nginx = new Process(path.join(this.dir, 'stderr.log'),
                             env.TEST_NGINX_BINARY || 'nginx',
                             ['-p', this.dir, '-c', conf, '-e', this.log]);
    await this.nginx.until(
      () => connects({ host: '127.0.0.1', port: this.port }),
      'nginx did not start');
  }

  runs({ http = '', redis = env.TEST_NGINX_REDIS_SOCKET }) {
    return !this.nginx.ended && this.http === http && this.socket === redis;
  }

  get log() {
    return path.join(this.dir, 'error.log');
  }

  /* Ends nginx; what it has logged as an error. */

  async stop() {
    await this.nginx.stop('SIGQUIT');

    return [this.log, path.join(this.dir, 'stderr.log')]
      .flatMap((file) => fs.readFileSync(file, 'utf8').split('\n'))
      .filter((line) =>
        /\[(error|crit|alert|emerg)\]|Sanitizer|runtime error/.test(line));
  }

  configuration(http) {
    const { dir } = this;
    const modules = (env.TEST_NGINX_LOAD_MODULES || '').split(/\s+/)
      .filter(Boolean).map((m) => `load_module ${m};`).join('\n');
    return `
      ${modules}
      ${process.getuid() === 0 ? 'user root;' : ''}
      daemon off;
      worker_processes 2;
      pid ${dir}/nginx.pid;
      error_log ${dir}/error.log info;
      events {
      }
      http {
        access_log off;
        client_body_temp_path ${dir}/body;
        proxy_temp_path ${dir}/proxy;
        fastcgi_temp_path ${dir}/fastcgi;
        uwsgi_temp_path ${dir}/uwsgi;
        scgi_temp_path ${dir}/scgi;

        access_token_redis unix:${this.socket}
                           timeout=5s connect_timeout=5s;
        access_token_root_file ${dir}/root;
        access_token_last_use 1s;
        ${http}

        map $cookie_person $roles {
          ${Object.entries(PEOPLE).map(([p, r]) => `${p} "${r}";`).join('\n')}
        }

        ${documented({
          'listen': `listen 127.0.0.1:${this.port};
                     server_name gateway.localhost;
                     location / {
                       access_token on;
                       root ${dir}/html;
                     }`,
        })}
        ${documented({
          'listen': `listen 127.0.0.1:${this.port};
                     server_name identity.localhost;`,
          'access_token_api':
            'access_token_api; '
            + 'access_token_api_identity $cookie_person $roles;',
        })}
      }
    `;
  }

  url(hash = '', host = 'gateway') {
    return `http://${host}.localhost:${this.port}/console/${hash}`;
  }

  /* A request past the browser: { status, headers, text, json }. */

  request(method, target, { token, body, headers = {} } = {}) {
    const text = body === undefined ? '' : JSON.stringify(body);

    return new Promise((done, fail) => {
      const request = http.request({
        host: '127.0.0.1',
        port: this.port,
        method,
        path: target,
        headers: {
          Host: 'gateway.localhost',
          Connection: 'close',
          'Content-Length': Buffer.byteLength(text),
          ...(token ? { Authorization: `Bearer ${token}` } : {}),
          ...(text ? { 'Content-Type': 'application/json' } : {}),
          ...headers,
        },
        timeout: 20000,
      }, (response) => {
        const chunks = [];

        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () => {
          const answer = Buffer.concat(chunks).toString('utf8');
          const isJson = /json/.test(response.headers['content-type']);

          done({
            status: response.statusCode,
            headers: response.headers,
            text: answer,
            json: isJson && answer ? JSON.parse(answer) : null,
          });
        });
      });
      request.on('timeout', () => request.destroy(new Error('no answer')));
      request.on('error', fail);
      request.end(text);
    });
  }

  /* What a holder of the token gets where one is needed. */

  async use(token) {
    return (await this.request('GET', '/', { token })).status;
  }

  /* owner: "acme" or "acme/dev"; what is made has the member path. */

  async create(owner, members = {}) {
    const made = await this.api('POST', `${ownerPath(owner)}/access-tokens`,
                                { name: 'a token', expires_at: inDays(90),
                                  ...members }, 201);

    return { ...made,
             path: `${ownerPath(owner)}/access-tokens/${made.id}` };
  }

  /* By root; the answer has to have the status. */

  async api(method, target, body, status = 200) {
    const answer = await this.request(method, `/api${target}`,
                                      { token: this.root, body });

    if (answer.status !== status) {
      throw new Error(`${method} ${target} is ${answer.status}, and not ${
        status}: ${answer.text}`);
    }
    return answer.json;
  }

  redis(...command) {
    return execFileSync('redis-cli', ['-s', this.socket, ...command],
                        { encoding: 'utf8' }).trim();
  }
}


/*
 * The first configuration in docs/console.md, of the files of this tree, and
 * with other directives in place of some.
 */

function documented(others) {
  const text = fs.readFileSync(path.join(root, 'docs/console.md'), 'utf8');
  let [, conf] = /^```nginx\n(.*?)^```$/ms.exec(text);

  for (const [name, other] of Object.entries({
    alias: `alias ${path.join(root, 'console')}/;`, ...others,
  })) {
    const directive = new RegExp(`^ *${name}\\b[^;]*;`, 'm');

    if (!directive.test(conf)) {
      throw new Error(`docs/console.md begins without ${name}`);
    }
    conf = conf.replace(directive, () => other);
  }
  return conf;
}

function ownerPath(owner) {
  return `/organizations/${owner.replace('/', '/groups/')}`;
}

function inSeconds(seconds) {
  return new Date(Date.now() + seconds * 1000).toISOString().slice(0, 19) + 'Z';
}

function inDays(days) {
  return inSeconds(days * 86400);
}

function connects(where) {
  return new Promise((done) => {
    const c = net.connect(where);

    c.on('connect', () => { c.destroy(); done(true); });
    c.on('error', () => done(false));
  });
}

module.exports = { Gateway, Redis, inDays, inSeconds, pause, root, stopAll };
