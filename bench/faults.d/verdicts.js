'use strict';

/*
 * Tokens of each kind in turn, and what their answers may be.  503 is no
 * verdict and allowed to all; a good token is never refused, another one never
 * let in.
 */

const { tokens } = require('./servers.js');
const { header } = require('./client.js');

const KINDS = { good: 'active', revoked: 'revoked', expired: 'expired',
                unknown: 'forged' };

class Verdicts {
  constructor(each) {
    this.names = Object.keys(KINDS);
    this.lists = this.names.map((name) => tokens(each, KINDS[name]));
    this.n = 0;
    this.wrong = [];
    this.failed = [];
    this.reset();
  }

  /* Half of the requests have a good token. */
  next() {
    const n = this.n++;
    const kind = n % 2 ? 1 + (n >> 1) % (this.names.length - 1) : 0;
    const list = this.lists[kind];

    return { kind: this.names[kind], token: list[(n >> 1) % list.length] };
  }

  reset() {
    this.statuses = {};
    this.caches = {};
  }

  count(request) {
    const cache = header(request, 'X-Cache');

    this.statuses[request.status] = (this.statuses[request.status] || 0) + 1;
    this.caches[cache] = (this.caches[cache] || 0) + 1;
  }

  judge(request) {
    const { kind, status } = request;
    const right = kind === 'good' ? 200 : 401;

    this.count(request);
    if (status === 0) {
      this.failed.push(`${kind}: ${request.lost}`);
    } else if (status === 503 ? header(request, 'Retry-After') !== '1'
               : status !== right
                 || (right === 401 && !/\r\nwww-authenticate: /i
                   .test(request.head))) {
      this.wrong.push(`${kind}: ${status}`);
    }
  }
}

module.exports = { Verdicts };
