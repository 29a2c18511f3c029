'use strict';

/*
 * The processes of a run and the temporary directory in which they live.  They
 * are ended by their process ids, and the directory is removed.
 */

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { sleep } = require('./time.js');

const given = new Set();        /* the ports that quietPort() gave */
const reserved = path.join(process.env.TEST_DIR || '', 'ports');

class Processes {
  constructor() {
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'consistency.'));
    fs.chmodSync(this.dir, 0o755);
    this.children = new Set();
    this.ending = false;
  }

  file(name) {
    return path.join(this.dir, name);
  }

  /* child.ended is done when it has ended, child.end says how. */
  run(name, command, args) {
    const log = fs.openSync(this.file(`${name}.out`), 'a');
    const child = spawn(command, args, { stdio: ['ignore', log, log] });

    fs.closeSync(log);
    child.once('error', (e) => child.emit('exit', e.message));
    return this.adopt(name, child);
  }

  adopt(name, child) {
    child.name = name;
    child.ended = new Promise((done) => {
      child.once('exit', (code, signal) => {
        child.end = signal || `status ${code}`;
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

  async stop() {
    this.ending = true;
    const children = [...this.children];

    for (const child of children) {
      child.kill('SIGCONT');
      child.kill(child.hard ? 'SIGKILL' : 'SIGTERM');
    }
    const late = setTimeout(() => {
      children.forEach((child) => child.kill('SIGKILL'));
    }, 5000);
    await Promise.all(children.map((child) => child.ended));
    clearTimeout(late);
  }

  kill() {
    this.children.forEach((child) => child.kill('SIGKILL'));
  }

  remove() {
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

function listens(port) {
  return new Promise((done) => {
    const listener = net.createServer();

    listener.once('error', () => done(null));
    listener.listen(port, '127.0.0.1', () => {
      const got = listener.address().port;
      listener.close(() => done(got));
    });
  });
}

const freePort = () => listens(0);

/* Tests that run beside this one make a folder there for each of theirs. */

function reserve(port) {
  if (given.has(port)) {
    return false;
  }
  given.add(port);

  try {
    fs.mkdirSync(path.join(reserved, String(port)));
    return true;
  } catch (e) {
    return e.code === 'ENOENT';
  }
}

/*
 * A port that the kernel gives to nobody while its server is away, nor the one
 * 10000 above it, which a node of a cluster takes, too.
 */

async function quietPort() {
  for (;;) {
    const port = 10100 + Math.floor(Math.random() * 9900);

    if (await listens(port) && await listens(port + 10000) && reserve(port)
        && reserve(port + 10000))
    {
      return port;
    }
  }
}

module.exports = { Processes, freePort, quietPort };
