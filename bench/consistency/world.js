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
    this.undos = [];            /* failovers */
    this.faults = [];
    this.silent = [];           /* answers without a verdict, not judged yet */
    this.age = 0;               /* counts the losses */
    this.violations = [];
    this.delays = new Delays(this);
    this.counts = {
      operations: {}, verdicts: {}, cache: {}, faults: {}, refusable: 0,
      acceptable: 0, either: 0, unjudged: 0, hits: 0, tokens: 0, excused: 0,
      recovery: { reads: 0, changes: 0 }, stalls: 0, retried: 0, shared: 0,
      missed: 0,
    };
    this.workers = new Set();
    this.down = {};             /* the outage of an edge that goes on */
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
    const fault = {
      kind, edges, effects, detail, start: now(), end: null, costs: {},
    };

    this.faults.push(fault);
    return fault;
  }

  /* The machine stood still until now: what waits for an answer is late. */
  stalled(ms) {
    const end = now();

    this.counts.stalls++;
    this.faults.push({
      kind: 'stall', edges: [], effects: ['unavailable'],
      detail: `${ms | 0} ms`, start: end - ms - 20, end, costs: {},
    });
  }

  /* Redis was slow to answer, though nobody had stopped it. */
  slowRedis(ms) {
    const since = now() - ms;
    const meant = this.faults.some(({ effects, end }) =>
      effects.includes('slow') && (end === null || end >= since));

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

  /* A failover begins: see checker.js. */
  undo() {
    const undo = {
      kind: 'undo', by: 'a failover', start: now(), end: Infinity,
      outcome: 'unknown',
    };

    this.undos.push(undo);
    return undo;
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
    if (status) {
      this.outage(read, token);
    }
    if (status === 200 || status === 401) {
      token.reads.push(read);
      token.last = read.end;
    } else {
      this.silence(token, read);
    }
  }

  change(token, change) {
    const unreplicated = change.status === 202;

    this.count('operations', `${change.kind} `
      + (unreplicated ? 'unreplicated' : change.outcome));
    if (token) {
      token.last = change.end;
    }
    if (change.status) {
      this.outage({ ...change, begin: change.start }, token);
    }
    if (unreplicated) {
      return;
    }
    if (change.outcome === 'unknown' || change.outcome === 'odd') {
      this.silence(token, change);
    }
  }

  /*
   * What a fault costs an edge: from its first 503 until the first good answer
   * after the last one.  What two explain is counted apart.
   */
  outage({ edge, status, begin, end }, token) {
    if (status !== 503) {
      if (this.down[edge]) {
        this.down[edge].until = end;
        this.down[edge] = null;
      }
      return;
    }

    const causes = this.causes({ edge, begin, end });
    const over = causes.every((f) => f.end !== null && f.end < begin);

    if (over && this.missed(token, { begin, end })) {
      return;
    }
    if (causes.length > 1) {
      this.counts.shared++;
    } else if (causes.length === 1) {
      const { costs } = causes[0];
      const cost = costs[edge] || { from: begin, until: end, answers: 0 };

      cost.from = Math.min(cost.from, begin);
      cost.until = Math.max(cost.until, end);
      cost.answers++;
      costs[edge] = cost;
      this.down[edge] = cost;
    }
  }

  /* The faults that last; if none does, those that are over just now. */
  causes(answer) {
    const late = (f) => excused(answer, 'unavailable', [f],
                                this.rules.recovery.reads);
    const all = this.faults.filter((f) => late(f) !== null);
    const lasting = all.filter((f) => late(f) === 0);

    return lasting.length ? lasting : all;
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
                ...[...this.losses, ...this.undos].filter(
                  (loss) => loss.end >= born)],
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

  /*
   * An nginx that has heard of a change which a failover has undone tells
   * nobody what the token was before, until it is changed once more.
   */
  missed(token, answer) {
    return token && this.undos.some((undo) => undo.start <= answer.end
      && token.changes.some((c) => c.outcome === 'unknown'
                            && c.start <= undo.end && c.start <= answer.end)
      && !token.changes.some((c) => c.outcome === 'confirmed'
                             && c.start > undo.end && c.end < answer.begin));
  }

  judgeSilence(token, answer) {
    const of = answer.kind ? 'changes' : 'reads';
    const recovery = this.rules.recovery[of];
    const about = { ...answer, begin: answer.begin || answer.start };
    const late = (effect) => excused(about, effect, this.faults, recovery);
    const is = (effect) => late(effect) !== null;
    let rule = null;

    if (answer.status === 503) {
      if (late('unavailable') !== 0 && this.missed(token, about)) {
        this.counts.missed++;
        return;
      }
      rule = is('unavailable') ? null : '503 without a fault';
      this.counts.recovery[of] = Math.max(this.counts.recovery[of],
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
