'use strict';

/*
 * Load: so many connections that are kept, each with one request under way.
 * Whoever makes it says which request comes next and judges each answer.
 *
 * A connection that had carried an answer, and is closed before a byte of the
 * next one came, was closed between two requests: the request is sent again on
 * a new connection, as a client may (RFC 9112, section 9.3.1).  On a new
 * connection there is no such excuse: lost.
 */

const net = require('node:net');

const PATIENCE = 8000;      /* ms for an answer */

function now() {
  return performance.now();
}

class Connection {
  constructor(load) {
    this.load = load;
    this.socket = null;
    this.request = null;
  }

  open() {
    const socket = net.connect({ port: this.load.port, host: '127.0.0.1' });

    socket.setNoDelay(true);
    socket.on('data', (data) => this.data(data));
    socket.on('error', (e) => { socket.why = e.code; });
    socket.on('close', () => {
      if (this.socket === socket) {
        this.socket = null;
        this.closed(socket.why || 'closed');
      }
    });
    this.socket = socket;
    this.served = 0;
    this.received = '';
    this.load.opened++;
  }

  send(request) {
    this.request = request;
    request.begin = now();
    this.write();
  }

  write() {
    if (!this.socket) {
      this.open();
    }
    this.written = now();
    this.socket.write('GET /file HTTP/1.1\r\nHost: bench\r\n'
                      + `Authorization: Bearer ${this.request.token}\r\n\r\n`);
  }

  data(data) {
    if (!this.request) {
      this.close();             /* an answer that nobody asked for */
      this.load.surprises++;
      return;
    }

    this.received += data.toString('latin1');
    const head = this.received.indexOf('\r\n\r\n');
    if (head < 0) {
      return;
    }

    const text = this.received.slice(0, head + 2);
    const length = /\r\ncontent-length: (\d+)/i.exec(text);
    if (!length) {
      this.finish(0, text, 'an answer without a length');
      this.close();
      return;
    }
    if (this.received.length < head + 4 + Number(length[1])) {
      return;
    }

    this.received = this.received.slice(head + 4 + Number(length[1]));
    this.served++;
    if (/\r\nconnection: close/i.test(text)) {
      this.close();
    }
    this.finish(Number(text.slice(9, 12)), text);
  }

  closed(why) {
    if (!this.request) {
      return;
    }
    if (this.served > 0 && this.received === '') {
      this.load.retried++;
      this.write();
      return;
    }
    this.finish(0, '', why);
  }

  finish(status, head, lost) {
    const request = this.request;

    this.request = null;
    Object.assign(request, { status, head, lost, end: now() });
    this.load.finished(this, request);
  }

  close() {
    const socket = this.socket;

    this.socket = null;
    if (socket) {
      socket.destroy();
    }
  }
}

class Load {
  /* next() gives { token, … }; judge() gets it with status, head, lost, begin
     and end, which are times of performance.now(). */
  constructor({ port, connections, next, judge }) {
    Object.assign(this, { port, next, judge });
    this.all = Array.from({ length: connections }, () => new Connection(this));
    this.idle = [...this.all];
    this.rate = 0;
    this.opened = this.retried = this.surprises = this.requests = 0;
    this.watch = setInterval(() => this.overdue(), 500);
  }

  /* Requests a second: 0 is none, Infinity as many as are answered. */
  go(rate) {
    this.rate = rate;
    clearInterval(this.timer);
    if (rate === Infinity) {
      this.pump();
    } else if (rate > 0) {
      let due = now();

      this.timer = setInterval(() => {
        for (; due <= now() && this.idle.length; due += 1000 / rate) {
          this.start();
        }
        due = Math.max(due, now() - 100);
      }, Math.max(1, Math.min(20, 1000 / rate)));
    }
  }

  start() {
    this.requests++;
    this.idle.shift().send(this.next());
  }

  pump() {
    while (this.rate === Infinity && this.idle.length) {
      this.start();
    }
  }

  finished(connection, request) {
    this.judge(request);
    this.idle.push(connection);
    if (this.rate === Infinity) {
      /* not from here: the reader of this connection is still at work */
      setImmediate(() => this.pump());
    } else if (this.idle.length === this.all.length && this.settled) {
      this.settled();
    }
  }

  overdue() {
    for (const c of this.all) {
      if (c.request && now() - c.written > PATIENCE) {
        c.close();
        c.finish(0, '', `no answer in ${PATIENCE / 1000} s`);
      }
    }
  }

  /* No more requests; resolves when the last one has its answer. */
  pause() {
    this.go(0);
    return new Promise((done) => {
      this.settled = done;
      if (this.idle.length === this.all.length) {
        done();
      }
    }).then(() => { this.settled = null; });
  }

  async stop() {
    await this.pause();
    clearInterval(this.watch);
    this.close();
  }

  /* The connections that rest; the next requests make new ones. */
  close() {
    this.idle.forEach((c) => c.close());
  }
}

function header(request, name) {
  const match = new RegExp(`\\r\\n${name}: ([^\\r]*)`, 'i').exec(request.head);

  return match ? match[1] : '';
}

module.exports = { Load, header, now };
