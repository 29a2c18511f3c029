'use strict';

/*
 * HTTP as the clients speak it: one request at a time on a connection that is
 * kept.  begin is taken just before the request is written and end just after
 * the answer is whole, so the interval holds all that the server did.
 *
 * An answer: { begin, end, status, headers, body }, or, where there was none,
 * { begin, end, status: 0, lost, reused }: lost says how, reused whether the
 * connection had carried an answer before and no byte came of this one, so
 * that it may have been closed before the request got there.
 */

const net = require('node:net');
const { now } = require('./time.js');

class Connection {
  constructor(port) {
    this.port = port;
    this.socket = null;
    this.served = 0;
  }

  open() {
    return new Promise((done, fail) => {
      const socket = net.connect({ port: this.port, host: '127.0.0.1' });

      socket.setNoDelay(true);
      socket.once('error', fail);
      socket.once('connect', () => {
        socket.removeListener('error', fail);
        this.take(socket);
        done();
      });
    });
  }

  take(socket) {
    this.socket = socket;
    this.served = 0;
    this.received = Buffer.alloc(0);
    this.waiting = null;

    socket.on('data', (data) => this.data(data));
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.socket === socket) {
        this.socket = null;
        this.finish({ status: 0, lost: 'closed' });
      }
    });
  }

  close() {
    const socket = this.socket;

    this.socket = null;
    if (socket) {
      socket.destroy();
    }
  }

  async request(method, path, headers, body, timeout = 8000) {
    if (!this.socket) {
      const begin = now();

      try {
        await this.open();
      } catch (e) {
        return { begin, end: now(), status: 0, lost: e.code, reused: false };
      }
    }

    let text = `${method} ${path} HTTP/1.1\r\nHost: gateway\r\n`;
    for (const [name, value] of Object.entries(headers)) {
      text += `${name}: ${value}\r\n`;
    }
    if (body !== undefined) {
      text += `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    }
    text += `\r\n${body || ''}`;

    return new Promise((done) => {
      const timer = setTimeout(() => {
        this.finish({ status: 0, lost: 'no answer' });
        this.close();
      }, timeout);

      this.waiting = { begin: now(), done, timer };
      this.socket.write(text);
    });
  }

  finish(answer) {
    const waiting = this.waiting;

    if (waiting) {
      this.waiting = null;
      clearTimeout(waiting.timer);
      waiting.done({
        begin: waiting.begin,
        end: now(),
        reused: this.served > 0 && this.received.length === 0,
        ...answer,
      });
    }
  }

  data(data) {
    this.received = this.received.length
      ? Buffer.concat([this.received, data]) : data;

    const split = this.received.indexOf('\r\n\r\n');
    if (split < 0) {
      return;
    }

    const lines = this.received.toString('latin1', 0, split).split('\r\n');
    const status = Number(lines[0].split(' ')[1]);
    const headers = {};

    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1)
        .trim();
    }

    const length = status === 204 ? 0 : Number(headers['content-length']);
    const whole = split + 4 + length;

    if (!Number.isInteger(length)) {
      this.finish({ status: 0, lost: 'an answer without a length' });
      this.close();
      return;
    }
    if (this.received.length < whole) {
      return;
    }

    const body = this.received.toString('utf8', split + 4, whole);

    this.received = this.received.subarray(whole);
    this.finish({ status, headers, body });
    this.served++;

    if (headers.connection === 'close') {
      this.close();
    }
  }
}

/* Connections to one server, one for each request that is under way. */

class Pool {
  constructor(port) {
    this.port = port;
    this.idle = [];
    this.all = new Set();
  }

  async request(...args) {
    let connection = this.idle.pop();

    while (connection && !connection.socket) {
      this.all.delete(connection);
      connection = this.idle.pop();
    }
    if (!connection) {
      connection = new Connection(this.port);
      this.all.add(connection);
    }

    const answer = await connection.request(...args);
    this.idle.push(connection);
    return answer;
  }

  close() {
    for (const connection of this.all) {
      connection.close();
    }
  }
}

module.exports = { Connection, Pool };
