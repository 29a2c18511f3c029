'use strict';

/*
 * What the clients know and what was logged: tokens with their changes and
 * reads, and the faults.  A token that nobody changes or reads any more is
 * judged as soon as all that could explain its reads is known, and forgotten,
 * so a long run needs no more memory than a short one.
 */

const { now } = require('./time.js');
const { check, excused } = require('./checker.js');
const { Delays } = require('./delays.js');

const JUDGED_AFTER = 15000;     /* longer than any fault and recovery */

class World {
  /* rules: see checker.js, and recovery. */
  constructor(rules) {
    this.rules = rules;
    this.tokens = new Set();
    this.losses = [];           /* FLUSHALL, SWAPDB: changes of all tokens */
    this.swaps = [];
    this.faults = [];
    this.silent = [];           /* answers without a verdict, not judged yet */
    this.age = 0;               /* counts the losses */
    this.violations = [];
    this.delays = new Delays(this);
    this.counts = {
      operations: {}, verdicts: {}, cache: {}, faults: {}, refusable: 0,
      acceptable: 0, either: 0, unjudged: 0, hits: 0, tokens: 0, excused: 0,
      recovery: 0, stalls: 0, retried: 0,
    };
    this.workers = new Set();
  }

  count(group, name) {
    this.counts[group][name] = (this.counts[group][name] || 0) + 1;
  }


  /* --- logging ---------------------------------------------------------- */

  add(token) {
    this.tokens.add(token);
    this.counts.tokens++;
  }

  /* A fault begins; who mends it sets its end. */
  fault(kind, edges, effects, detail = '') {
    const fault = { kind, edges, effects, detail, start: now(), end: null };

    this.faults.push(fault);
    return fault;
  }

  /* The machine stood still until now: what waits for an answer is late. */
  stalled(ms) {
    const end = now();

    this.counts.stalls++;
    this.faults.push({
      kind: 'stall', edges: [], effects: ['unavailable'],
      detail: `${ms | 0} ms`, start: end - ms - 20, end,
    });
  }

  /* Redis was slow to answer, though nobody had stopped it. */
  slowRedis(ms) {
    const since = now() - ms;
    const meant = this.faults.some(({ kind, end }) =>
      (kind === 'stop-redis' || kind === 'kill-redis')
      && (end === null || end >= since));

    if (!meant) {
      this.stalled(ms);
    }
  }

  loss(change, announced) {
    this.losses.push(change);
    if (!announced) {
      this.swaps.push(change);
    }
    this.age++;
  }

  read(token, read) {
    const { edge, status } = read;

    this.count('verdicts', status || read.lost);
    if (read.cache) {
      this.count('cache', read.cache);
    }
    if (read.worker) {
      this.workers.add(`${edge} ${read.worker}`);
    }
    if (status === 200 || status === 401) {
      token.reads.push(read);
      token.last = read.end;
    } else {
      this.silence(token, read);
    }
  }

  change(token, change) {
    this.count('operations', `${change.kind} ${change.outcome}`);
    if (token) {
      token.last = change.end;
    }
    if (change.outcome === 'unknown' || change.outcome === 'odd') {
      this.silence(token, change);
    }
  }

  silence(token, answer) {
    this.silent.push({ token, answer });
  }


  /* --- judging ---------------------------------------------------------- */

  violate(rule, token, about) {
    this.violations.push({ rule, token, about, faults: this.around(about) });
  }

  around(about) {
    return this.faults.filter((f) => f.start <= about.end + 500
      && (f.end === null || f.end >= about.begin - 3000));
  }

  /* all: the run is over, and nothing more will explain anything. */
  judge(all = false) {
    const before = now() - JUDGED_AFTER;

    for (const token of this.tokens) {
      if (all || (token.done && token.last < before)) {
        this.tokens.delete(token);
        this.judgeToken(token);
      }
    }

    const young = this.silent.findIndex(
      ({ answer }) => !all && answer.end > before);
    const old = this.silent.splice(0, young < 0 ? this.silent.length : young);

    for (const { token, answer } of old) {
      this.judgeSilence(token, answer);
    }
  }

  judgeToken(token) {
    const { rules } = this;
    const born = token.changes.length ? token.changes[0].start : Infinity;
    const history = {
      ...token,
      reads: token.reads.filter((read) => !this.past(read)),
      changes: [...token.changes,
                ...this.losses.filter((loss) => loss.end >= born)],
    };

    const { violations, counts } = check(history, {
      ...rules, swaps: this.swaps, slackAt: (read) => this.slack(read),
    });

    for (const name of Object.keys(counts)) {
      this.counts[name] += counts[name];
    }
    for (const { rule, read, change } of violations) {
      this.violate(rule, history, read || { ...change, begin: change.start });
    }
    this.delays.measure(history);
  }

  /* A worker at a Redis that is not in charge any more, and does not know. */
  past(read) {
    return this.faults.some(({ past, start, end }) => past
      && past.edge === read.edge && past.worker === read.worker
      && read.end >= start && (end === null || read.begin <= end));
  }

  /* A worker that stood still had read its clock before. */
  slack(read) {
    const paused = this.faults.some((f) => (f.kind === 'pause'
                                            || f.kind === 'stall')
      && (f.edges.length === 0 || f.edges.includes(read.edge))
      && f.start <= read.end && (f.end === null || f.end >= read.begin - 100));

    return this.rules.slack + (paused ? 2000 : 0);
  }

  judgeSilence(token, answer) {
    const { recovery } = this.rules;
    const about = { ...answer, begin: answer.begin || answer.start };
    const late = (effect) => excused(about, effect, this.faults, recovery);
    const is = (effect) => late(effect) !== null;
    let rule = null;

    if (answer.status === 503) {
      rule = is('unavailable') ? null : '503 without a fault';
      this.counts.recovery = Math.max(this.counts.recovery,
                                      late('unavailable'));

    } else if (answer.status === 0) {
      if (answer.lost === 'closed' && answer.reused
          && (is('closed') || is('lost')))
      {
        this.counts.retried++;
        return;
      }
      rule = is('lost') && answer.lost !== 'no answer' ? null
        : `no answer (${answer.lost})`;

    } else {
      rule = `an answer of ${answer.status}`;
    }

    if (rule) {
      this.violate(rule, token, about);
    } else {
      this.counts.excused++;
    }
  }
}

module.exports = { World };
