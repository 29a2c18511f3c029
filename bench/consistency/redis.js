'use strict';

/*
 * One Redis: its process, and a connection past the proxy by which it is told
 * what to do and asked how it is.
 */

const fs = require('node:fs');
const net = require('node:net');

/* What a Redis of this harness is, if nothing else is said. */

const USUAL = {
  save: '""', appendonly: 'yes', 'repl-diskless-sync-delay': '0',
};

/* [value, where it ends] of the reply at `at`; undefined: it is not whole. */

function parse(text, at) {
  const end = text.indexOf('\r\n', at);

  if (end < 0) {
    return undefined;
  }

  const line = text.slice(at + 1, end);
  let next = end + 2;

  switch (text[at]) {
    case '+':
      return [line, next];

    case '-':
      return [new Error(line), next];

    case ':':
      return [Number(line), next];

    case '$': {
      const length = Number(line);

      if (length < 0) {
        return [null, next];
      }
      return text.length < next + length + 2 ? undefined
        : [text.slice(next, next + length), next + length + 2];
    }

    case '*': {
      const values = [];

      for (let i = 0; i < Number(line); i++) {
        const value = parse(text, next);

        if (!value) {
          return undefined;
        }
        values.push(value[0]);
        next = value[1];
      }
      return [values, next];
    }

    default:
      throw new Error(`what is the reply ${line}?`);
  }
}

/* A connection that is made when it is needed; replies come in order. */

class Client {
  constructor(to) {
    this.to = to;
    this.socket = null;
  }

  connect() {
    const waiting = [];
    const socket = net.connect(this.to);
    let text = '';

    socket.setTimeout(10000, () => {
      socket.destroy(waiting.length ? new Error('no reply') : undefined);
    });
    socket.on('error', (e) => { socket.why = e; });
    socket.on('close', () => {
      if (this.socket === socket) {
        this.socket = null;
      }
      waiting.forEach(({ fail }) => fail(
        socket.why || new Error('Redis closed the connection')));
    });
    socket.on('data', (data) => {
      text += data.toString('latin1');
      for (let reply; text && (reply = parse(text, 0));) {
        const { done, fail } = waiting.shift();

        text = text.slice(reply[1]);
        (reply[0] instanceof Error ? fail : done)(reply[0]);
      }
    });
    socket.waiting = waiting;
    this.socket = socket;
  }

  /* The reply; an error of Redis is thrown. */
  ask(...words) {
    return new Promise((done, fail) => {
      if (!this.socket) {
        this.connect();
      }
      this.socket.waiting.push({ done, fail });
      this.socket.write(`*${words.length}\r\n` + words.map(String)
        .map((w) => `$${Buffer.byteLength(w)}\r\n${w}\r\n`).join(''));
    });
  }

  close() {
    if (this.socket) {
      this.socket.destroy();
    }
  }
}

class Redis {
  /* settings: as in redis.conf; port 0 is a Unix socket alone. */
  constructor(processes, name, settings, { sentinel = false } = {}) {
    this.processes = processes;
    this.name = name;
    this.port = settings.port;
    this.sentinel = sentinel;
    this.to = this.port ? { host: '127.0.0.1', port: this.port }
      : { path: processes.file(`${name}.sock`) };
    this.settings = settings;
    this.client = new Client(this.to);
    this.child = null;
    this.stopped = false;
  }

  get dir() {
    return this.processes.file(this.name);
  }

  /* Where a door may lead to it. */
  get address() {
    return this.port || this.to.path;
  }

  /* Whether it can answer. */
  get well() {
    return this.child !== null && !this.child.end && !this.stopped;
  }

  /*
   * Redis writes to its file what it is told, to be so again after its end; a
   * file that is there stays.
   */
  configure() {
    const file = this.processes.file(`${this.name}.conf`);
    const settings = {
      ...(this.sentinel ? {} : USUAL), dir: this.dir,
      ...(this.port ? { bind: '127.0.0.1' } : { unixsocket: this.to.path }),
      ...this.settings,
    };

    fs.mkdirSync(this.dir, { recursive: true });
    if (!fs.existsSync(file)) {
      fs.writeFileSync(file, Object.entries(settings)
        .map(([name, value]) => `${name} ${value}\n`).join(''));
    }
    return file;
  }

  async start() {
    this.child = this.processes.run(this.name, 'redis-server', [
      this.configure(), ...(this.sentinel ? ['--sentinel'] : [])]);

    await this.processes.until(this.child, 20, async () => {
      try {
        return (await this.ask('PING')) === 'PONG';
      } catch (e) {
        return false;
      }
    });
  }

  ask(...words) {
    return this.client.ask(...words);
  }

  /* One field of INFO replication. */
  async replication(field) {
    const found = new RegExp(`^${field}:(.*)\r`, 'm').exec(
      await this.ask('INFO', 'replication'));

    return found && found[1];
  }

  /*
   * Each replica has acknowledged something: before that what it is to hear is
   * kept back, and gone with this server.
   */
  async acknowledged() {
    const info = await this.ask('INFO', 'replication');

    return !/^slave\d+:(?!.*state=online,offset=[1-9])/m.test(info);
  }

  /* Nobody may hear what it would do on SIGTERM. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.child.ended;
    this.client.close();
    this.stopped = false;
  }

  halt() {
    this.stopped = true;
    this.child.kill('SIGSTOP');
  }

  go() {
    this.child.kill('SIGCONT');
    this.stopped = false;
  }

  /* With all that it had: it can begin anew. */
  forget() {
    fs.rmSync(this.dir, { recursive: true, force: true });
    fs.rmSync(this.processes.file(`${this.name}.conf`), { force: true });
  }
}

module.exports = { Redis, Client };
