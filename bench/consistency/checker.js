'use strict';

/*
 * Decides, of one token, whether every answer was allowed.
 *
 * A change is { kind, start, end, outcome, status … }.  A confirmed one (2xx)
 * took effect at some moment from start to end; a refused one (404, 409) found
 * the token in a state that it fits, at some such moment; an unknown one (503,
 * no answer) took effect at some moment from start until `settle` after end,
 * or never.  Where a failover may come ("undo", at some moment from start to
 * end, or not), all that was not confirmed until then may be undone by it, but
 * for what lies before a change that is confirmed: that is kept, and so is all
 * before it.  Changes overlap, so at each moment the token is in one of several
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

const name = (state) => `${state.exists} ${state.revoked} ${state.expires} `
  + `${state.secret} ${state.previous} ${state.untilLeast} ${state.untilMost}`;

/*
 * A configuration is a state, what it is without all that can be undone, and
 * which of the pending changes led to it.
 */

const key = ({ state, kept, mask }) => (kept === state
  ? `${mask} ${name(state)}` : `${mask} ${name(state)} ${name(kept)}`);

/* What follows from a configuration by one more change; null: nothing does. */

function step({ state, kept, mask }, c, rules) {
  if (c.kind === 'undo') {
    return { state: kept, kept, mask: mask | c.bit };
  }

  const next = after(state, c, rules.slack);

  if (!next) {
    return null;
  }

  const lasts = c.outcome === 'confirmed'
                || (c.outcome === 'unknown' && !rules.undone)
                || (c.outcome === 'refused' && kept === state);

  return { state: next, kept: lasts ? next : kept, mask: mask | c.bit };
}

/* Adds all that follow by making more of the pending changes. */

function close(configurations, pending, rules) {
  const all = new Map(configurations);
  const open = [...all.values()];

  while (open.length) {
    const configuration = open.pop();

    for (const c of pending) {
      if (configuration.mask & c.bit) {
        continue;
      }
      const next = step(configuration, c, rules);
      if (next && !all.has(key(next))) {
        all.set(key(next), next);
        open.push(next);
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
  const events = [];

  /* only then is it of interest what is kept */
  rules = { ...rules, undone: changes.some(({ kind }) => kind === 'undo') };

  for (const change of changes) {
    const c = { ...change, change };

    c.latest = c.end
      + (c.outcome === 'unknown' && c.kind !== 'undo' ? rules.settle : 0);
    events.push({ at: c.start, starts: true, c });
    events.push({ at: c.latest, starts: false, c });
  }
  events.sort((a, b) => a.at - b.at || b.starts - a.starts);

  const segments = [];
  const pending = new Set();
  let free = [];
  let configurations = configurationsOf([{
    state: absent, kept: absent, mask: 0 }]);
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
      configurations = close(configurations, pending, rules);
      if (!configurations) {
        return { segments, unjudged: true };
      }
      continue;
    }

    const left = configurationsOf([...configurations.values()]
      .filter(({ mask }) => c.outcome === 'unknown' || mask & c.bit)
      .map(({ state, kept, mask }) => ({ state, kept, mask: mask & ~c.bit })));

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

const configurationsOf = (list) => new Map(list.map((c) => [key(c), c]));

function statesOf(configurations) {
  const states = new Map();

  for (const { state } of configurations.values()) {
    states.set(name(state), state);
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
