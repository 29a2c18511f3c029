'use strict';

/*
 * Decides, of one token, whether every answer was allowed.
 *
 * A change is { kind, start, end, outcome, status … }.  A confirmed one (2xx)
 * took effect at some moment from start to end; a refused one (404, 409) found
 * the token in a state that it fits, at some such moment; an unknown one (503,
 * no answer) took effect at some moment from start until `settle` after end,
 * or never.  Changes overlap, so at each moment the token is in one of several
 * possible states.  timeline() finds them all: it puts the changes in every
 * order that their intervals and answers allow.  If there is none, an answer
 * of the API was wrong.
 *
 * A read { begin, end, status, secret … } may be judged by any state that was
 * possible from `lease` + `margin` before its begin to its end.  If none of
 * these lets it in, an accept is a violation; if each of them does, a 401 is.
 *
 * Times are taken outside of the server, begin before and end after, so a
 * client that runs late widens intervals: it can hide a violation and never
 * make one.
 */

const NOBODY = -1;      /* a secret that no client has */
const LIMIT = 4000;     /* of configurations: above, the token is not judged */

const absent = {
  exists: false, revoked: false, expires: 0, secret: NOBODY, previous: NOBODY,
  untilLeast: 0, untilMost: 0,
};

const surelyExpired = (state, at, slack) =>
  state.expires !== 0 && at >= state.expires + slack;
const perhapsExpired = (state, at, slack) =>
  state.expires !== 0 && at >= state.expires - slack;

/* The state after a change that was made; null: it can't have been made. */

function made(state, c, slack) {
  switch (c.kind) {
    case 'create':
      return state.exists ? null : {
        ...absent, exists: true, expires: c.expires, secret: c.secret,
      };

    case 'vanish':
      return absent;
  }

  if (!state.exists) {
    return null;
  }

  switch (c.kind) {
    case 'revoke':
      return { ...state, revoked: true };

    case 'activate':
      return surelyExpired(state, c.start, slack) ? null
        : { ...state, revoked: false };

    case 'rotate':
      if (state.revoked || surelyExpired(state, c.start, slack)) {
        return null;
      }
      return {
        ...state,
        secret: c.secret === undefined ? NOBODY : c.secret,
        previous: c.grace ? state.secret : NOBODY,
        untilLeast: c.grace ? second(c.start - slack) + c.grace * 1000 : 0,
        untilMost: c.grace ? second(c.latest + slack) + c.grace * 1000 : 0,
      };

    case 'patch':
      return c.expires === undefined ? state : { ...state, expires: c.expires };

    case 'delete':
      return absent;

    default:
      throw new Error(`what is a ${c.kind}?`);
  }
}

const second = (at) => Math.floor(at / 1000) * 1000;

/* Whether a change can have been refused with this answer in this state. */

function refused(state, c, slack) {
  if (c.status === 404) {
    return !state.exists;
  }
  if (!state.exists || (c.kind !== 'activate' && c.kind !== 'rotate')) {
    return false;
  }
  return perhapsExpired(state, c.latest, slack)
         || (c.kind === 'rotate' && state.revoked);
}

function after(state, c, slack) {
  if (c.outcome === 'refused') {
    return refused(state, c, slack) ? state : null;
  }
  return made(state, c, slack);
}

const key = (state, mask) => `${mask} ${state.exists} ${state.revoked} `
  + `${state.expires} ${state.secret} ${state.previous} ${state.untilLeast} `
  + `${state.untilMost}`;

/*
 * A configuration is a state and which of the pending changes led to it.  Adds
 * all that follow by making more of the pending ones.
 */

function close(configurations, pending, slack) {
  const all = new Map(configurations);
  const open = [...all.values()];

  while (open.length) {
    const { state, mask } = open.pop();

    for (const c of pending) {
      if (mask & c.bit) {
        continue;
      }
      const next = after(state, c, slack);
      if (next) {
        const k = key(next, mask | c.bit);
        if (!all.has(k)) {
          all.set(k, { state: next, mask: mask | c.bit });
          open.push(all.get(k));
        }
      }
    }
    if (all.size > LIMIT) {
      return null;
    }
  }

  return all;
}

/*
 * { segments: [{ from, to, states }] } in the order of time; `impossible` is a
 * change whose answer fits nowhere, `unjudged` says that there was too much at
 * once.
 */

function timeline(changes, rules) {
  const { settle, slack } = rules;
  const events = [];

  for (const change of changes) {
    const c = { ...change, change };

    c.latest = c.end + (c.outcome === 'unknown' ? settle : 0);
    events.push({ at: c.start, starts: true, c });
    events.push({ at: c.latest, starts: false, c });
  }
  events.sort((a, b) => a.at - b.at || b.starts - a.starts);

  const segments = [];
  const pending = new Set();
  let free = [];
  let configurations = new Map([[key(absent, 0), { state: absent, mask: 0 }]]);
  let from = -Infinity;

  for (let bit = 30; bit >= 0; bit--) {
    free.push(1 << bit);
  }

  for (const { at, starts, c } of events) {
    segments.push({ from, to: at, states: statesOf(configurations) });
    from = at;

    if (starts) {
      if (free.length === 0) {
        return { segments, unjudged: true };
      }
      c.bit = free.pop();
      pending.add(c);
      configurations = close(configurations, pending, slack);
      if (!configurations) {
        return { segments, unjudged: true };
      }
      continue;
    }

    const left = new Map();

    for (const { state, mask } of configurations.values()) {
      if (c.outcome === 'unknown' || mask & c.bit) {
        left.set(key(state, mask & ~c.bit), { state, mask: mask & ~c.bit });
      }
    }
    pending.delete(c);
    free.push(c.bit);
    configurations = left;

    if (left.size === 0) {
      return { segments, impossible: c.change };
    }
  }

  segments.push({ from, to: Infinity, states: statesOf(configurations) });
  return { segments };
}

function statesOf(configurations) {
  const states = new Map();

  for (const { state } of configurations.values()) {
    states.set(key(state, 0), state);
  }
  return [...states.values()];
}

/* Whether a state can, or must, let a read in.  Expiry is the edge's clock. */

function mayAccept(state, read, slack) {
  return state.exists && !state.revoked
    && !surelyExpired(state, read.begin, slack)
    && (read.secret === state.secret
        || (read.secret === state.previous
            && read.begin < state.untilMost + slack));
}

function mustAccept(state, read, slack) {
  return state.exists && !state.revoked
    && !perhapsExpired(state, read.end, slack)
    && (read.secret === state.secret
        || (read.secret === state.previous
            && read.end < state.untilLeast - slack));
}

/*
 * What a read could have seen.  Redis tells nobody that databases were swapped
 * ({ start, end }): what was cached before may be used until it is too old.
 */

function windowOf(read, rules) {
  const stale = rules.lease + rules.margin;
  let from = read.begin - stale;

  for (const swap of rules.swaps || []) {
    if (read.begin >= swap.start
        && read.begin <= swap.end + rules.maxAge + stale)
    {
      from = Math.min(from, swap.start - stale);
    }
  }
  return from;
}

/* { may, must }: whether the read could have been let in, and had to be. */

function expected(read, segments, rules) {
  const from = windowOf(read, rules);
  const slack = rules.slackAt ? rules.slackAt(read) : rules.slack;
  let may = false;
  let must = true;

  for (const segment of segments) {
    if (segment.to < from || segment.from > read.end) {
      continue;
    }
    for (const state of segment.states) {
      may = may || mayAccept(state, read, slack);
      must = must && mustAccept(state, read, slack);
    }
    if (may && !must) {
      break;
    }
  }
  return { may, must };
}

/*
 * token: { changes, reads }.  rules: lease, margin, settle, slack (of clocks
 * that count in seconds) and maxAge in milliseconds, swaps, and slackAt(read),
 * the slack where it is more.
 *
 * violations: [{ rule, read or change }]; counts: of the reads that could have
 * been one, `refusable` where an accept would have been and `acceptable` where
 * a 401 would have, and `hits`, how many of these the cache answered.
 */

function check(token, rules) {
  const { segments, impossible, unjudged } = timeline(token.changes, rules);
  const violations = [];
  const counts = {
    refusable: 0, acceptable: 0, either: 0, unjudged: 0, hits: 0,
  };

  if (impossible) {
    violations.push({
      rule: `the API answered a ${impossible.kind} with ${impossible.status},`
            + ' which fits no order of the changes',
      change: impossible,
    });
  }

  const known = impossible || unjudged
    ? segments[segments.length - 1].to : Infinity;

  for (const read of token.reads) {
    if (read.status !== 200 && read.status !== 401) {
      continue;
    }
    if (read.end > known) {
      counts.unjudged++;
      continue;
    }

    const { may, must } = expected(read, segments, rules);

    counts[may ? (must ? 'acceptable' : 'either') : 'refusable']++;
    counts.hits += read.cache === 'HIT' && (!may || must) ? 1 : 0;

    if (read.status === 200 && !may) {
      violations.push({ rule: 'let in, though it cannot have been good',
                        read });
    }
    if (read.status === 401 && must) {
      violations.push({ rule: 'refused, though it was good throughout', read });
    }
  }

  return { violations, counts };
}

/*
 * Whether a fault explains that there was no verdict: one that can have this
 * effect on this edge, while it lasts and `recovery` after.  Returns how many
 * milliseconds after the fault it was, 0 while it lasts; null: nothing does.
 */

function excused(answer, effect, faults, recovery) {
  let least = null;

  for (const f of faults) {
    if (f.effects.includes(effect)
        && (f.edges.length === 0 || f.edges.includes(answer.edge))
        && answer.end >= f.start)
    {
      const late = f.end === null ? 0 : Math.max(0, answer.begin - f.end);

      if (late <= recovery && (least === null || late < least)) {
        least = late;
      }
    }
  }
  return least;
}

module.exports = { check, excused, timeline, NOBODY };
