'use strict';

/*
 * The way between nginx and Redis, a process of its own that is told by
 * messages what to do to it.  Each door is a TCP port and leads to a server;
 * doors are in groups: those of an edge, of replication.  What is told is
 * for all doors of the group, or the one to `server`, or all `but` that.  A
 * connection is a link once SUBSCRIBE or TRACKING passes on it, and a data
 * connection until then.
 *
 *     open       { door, server, to }  listens; the answer is the port
 *     translate  { door, ports }       [[from, to]]: where Redis tells of the
 *                                      one, the client is told of the other
 *     route      { door, to }          where new connections lead
 *     cut        { door, kind, ports } resets connections; ports: only those
 *                                      of clients with these
 *     refuse     { door, on }          resets new ones as they come
 *     hole       { door, kind, on, from }  takes bytes of these and gives none
 *                                      on, without a reset; when that ends they
 *                                      are reset, for bytes are gone; from: only
 *                                      those of clients with this address
 *     delay      { door, kind, up, down }  milliseconds to Redis and from it;
 *                                      the order of bytes is kept
 *
 * kind is link, data or all.
 */

const net = require('node:net');
const { watch } = require('./time.js');

/*
 * As Sentinel and CLUSTER SLOTS write an address, an error does (MOVED 1
 * 127.0.0.1:7000), and a message (+switch-master).  All ports have five digits,
 * so no length changes.
 */

const BETWEEN = ['\r\n$5\r\n', '\r\n$4\r\nport\r\n$5\r\n', '\r\n:', ':', ' '];
const ADDRESS = new RegExp(
  `(127\\.0\\.0\\.1(?:${BETWEEN.join('|').replace(/\$/g, '\\$')}))(\\d{5})\\b`,
  'g');

const doors = new Map();        /* group: { doors: Map of server, ports } */

class Way {
  /* One direction: chunks wait until they are due, the end behind them. */
  constructor(connection, name, from, to) {
    this.connection = connection;
    this.name = name;
    this.to = to;
    this.queue = [];
    this.last = 0;

    from.on('data', (chunk) => {
      if (name === 'up') {
        connection.classify(chunk);
        this.put(chunk);
      } else {
        this.put(connection.door.translated(chunk));
      }
    });
    from.on('error', () => {});
    from.on('close', () => this.put(null));
  }

  put(chunk) {
    const { connection, queue } = this;

    if (connection.holed() && chunk) {
      connection.lossy = true;
      return;
    }
    if (connection.lossy) {
      /* nginx has given it up, or Redis has: the other side learns nothing */
      if (!chunk && this.name === 'up') {
        connection.cut();
      }
      return;
    }

    const delay = connection.door.delays[connection.kind][this.name];

    if (delay === 0 && queue.length === 0) {
      this.pass(chunk);
      return;
    }

    this.last = Math.max(this.last, Date.now() + delay);
    queue.push({ chunk, due: this.last });
    if (queue.length === 1) {
      this.arm();
    }
  }

  arm() {
    this.timer = setTimeout(() => this.due(), this.queue[0].due - Date.now());
  }

  due() {
    while (this.queue.length && this.queue[0].due <= Date.now()) {
      this.pass(this.queue.shift().chunk);
    }
    if (this.queue.length) {
      this.arm();
    }
  }

  pass(chunk) {
    if (chunk) {
      if (!this.to.destroyed) {
        this.to.write(chunk);
      }
    } else {
      this.to.end();
      this.to.destroySoon();
    }
  }

  drop() {
    clearTimeout(this.timer);
    this.queue = [];
  }
}

class Connection {
  constructor(door, socket) {
    this.door = door;
    this.kind = 'data';
    this.from = socket.remoteAddress;
    this.seen = 0;
    this.lossy = false;
    this.client = socket;
    this.server = net.connect(door.to);
    this.up = new Way(this, 'up', this.client, this.server);
    this.down = new Way(this, 'down', this.server, this.client);

    socket.setNoDelay(true);
    door.connections.add(this);
    socket.on('close', () => door.connections.delete(this));
  }

  classify(chunk) {
    if (this.kind === 'data' && this.seen < 4096) {
      this.seen += chunk.length;
      if (/subscribe|tracking/i.test(chunk.toString('latin1'))) {
        this.kind = 'link';
      }
    }
  }

  is(kind) {
    return kind === 'all' || kind === this.kind;
  }

  isFrom(address) {
    return address === undefined || address === this.from;
  }

  holed() {
    const hole = this.door.holes.get(this.kind);

    return hole !== undefined && this.isFrom(hole.from);
  }

  /* What waits for its time is lost. */
  hole() {
    this.lossy = true;
    this.up.drop();
    this.down.drop();
  }

  cut() {
    this.up.drop();
    this.down.drop();
    this.door.connections.delete(this);
    this.client.resetAndDestroy();
    this.server.destroy();
  }
}

class Door {
  constructor(group, to) {
    this.group = group;
    this.to = to;
    this.connections = new Set();
    this.refuses = false;
    this.holes = new Map();     /* by kind: { from } */
    this.delays = {
      link: { up: 0, down: 0 },
      data: { up: 0, down: 0 },
    };
    this.listener = net.createServer((socket) => {
      socket.on('error', () => {});
      if (this.refuses) {
        socket.resetAndDestroy();
      } else {
        new Connection(this, socket);
      }
    });
  }

  /* The address of a server becomes that of the door to it. */
  translated(chunk) {
    const { ports } = this.group;

    if (ports.size === 0 || !chunk.includes('127.0.0.1')) {
      return chunk;
    }
    return Buffer.from(chunk.toString('latin1').replace(ADDRESS,
      (all, before, port) => before + (ports.get(port) || port)), 'latin1');
  }

  of(kind) {
    return [...this.connections].filter((c) => c.is(kind));
  }

  open() {
    return new Promise((done) => {
      this.listener.listen(0, '127.0.0.1',
                           () => done(this.listener.address().port));
    });
  }

  cut(kind, ports) {
    const connections = this.of(kind).filter(
      (c) => !ports || ports.includes(c.client.remotePort));

    connections.forEach((c) => c.cut());
    return connections.length;
  }

  hole(kind, on, from) {
    const kinds = kind === 'all' ? ['link', 'data'] : [kind];
    const connections = this.of(kind).filter((c) => c.isFrom(from));

    for (const each of kinds) {
      if (on) {
        this.holes.set(each, { from });
      } else {
        this.holes.delete(each);
      }
    }
    connections.forEach((c) => {
      if (on) {
        c.hole();
      } else if (c.lossy) {
        c.cut();
      }
    });
    return connections.length;
  }

  delay(kind, up, down) {
    for (const each of kind === 'all' ? ['link', 'data'] : [kind]) {
      this.delays[each] = { up, down };
    }
    return this.of(kind).length;
  }
}

function groupOf(name) {
  if (!doors.has(name)) {
    doors.set(name, { doors: new Map(), ports: new Map() });
  }
  return doors.get(name);
}

function act(door, what) {
  switch (what.do) {
    case 'route':
      door.to = what.to;
      return 0;

    case 'refuse':
      door.refuses = what.on;
      return 0;

    case 'cut':
      return door.cut(what.kind, what.ports);

    case 'hole':
      return door.hole(what.kind, what.on, what.from);

    case 'delay':
      return door.delay(what.kind, what.up, what.down);

    default:
      throw new Error(`what is "${what.do}"?`);
  }
}

async function obey(what) {
  const group = groupOf(what.door);

  switch (what.do) {
    case 'open': {
      const door = new Door(group, what.to);

      group.doors.set(what.server, door);
      return door.open();
    }

    case 'translate':
      group.ports = new Map(what.ports.map(
        ([from, to]) => [String(from), String(to)]));
      return 0;
  }

  return [...group.doors]
    .filter(([server]) => what.server === undefined || server === what.server)
    .filter(([server]) => server !== what.but)
    .reduce((met, [, door]) => met + act(door, what), 0);
}

/* Ends with its parent. */

process.on('disconnect', () => process.exit());
process.on('SIGINT', () => {});
process.on('message', async (message) => {
  try {
    process.send({ id: message.id, answer: await obey(message) });
  } catch (e) {
    process.send({ id: message.id, error: e.message });
  }
});

watch(100, (start, end) => process.send({ stalled: end - start }));
