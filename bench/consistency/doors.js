'use strict';

/*
 * The doors through which nginx and servers go to servers, and the process
 * that holds them: see proxy.js.  Each nginx has a door of its own to each
 * server, and never sees another address: where one server tells of another,
 * the proxy puts in the door.
 */

const { fork } = require('node:child_process');
const path = require('node:path');

const EDGES = ['a', 'b'];

class Doors {
  /* settings: stalled(ms), died(why). */
  constructor(processes, settings) {
    this.processes = processes;
    this.settings = settings;
    this.asked = new Map();
    this.lastId = 0;
    this.ports = {};            /* by group and server */
  }

  start() {
    const { processes, settings } = this;

    this.child = processes.adopt('proxy',
                                 fork(path.join(__dirname, 'proxy.js')));
    this.child.hard = true;
    this.child.ended.then(() => {
      for (const { fail } of this.asked.values()) {
        fail(new Error('the proxy has ended'));
      }
      if (!processes.ending) {
        settings.died('the proxy has ended');
      }
    });
    this.child.on('message', (m) => {
      if (m.stalled !== undefined) {
        settings.stalled(m.stalled);
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
  }

  /* What proxy.js knows; the answer is how many connections it met. */
  tell(what) {
    return new Promise((done, fail) => {
      const id = ++this.lastId;
      this.asked.set(id, { done, fail });
      this.child.send({ id, ...what });
    });
  }

  /* servers: [{ name, address }].  A group is an edge, or others' way. */
  async open(group, servers) {
    this.ports[group] = this.ports[group] || {};
    for (const { name, address } of servers) {
      this.ports[group][name] = await this.tell({
        do: 'open', door: group, server: name, to: address });
    }
  }

  /* Where these ports are told of, each edge gets to see its own doors. */
  async translate(known) {
    for (const edge of EDGES) {
      await this.tell({
        do: 'translate', door: edge,
        ports: known.map(([port, server]) => [port, this.port(edge, server)]),
      });
    }
  }

  port(group, server) {
    return this.ports[group][server];
  }

  /* For access_token_redis. */
  addresses(edge, servers) {
    return servers.map(({ name }) => `127.0.0.1:${this.port(edge, name)}`)
      .join(' ');
  }
}

module.exports = { Doors, EDGES };
