'use strict';

/*
 * The result of a run: what happened, what was wrong, and whether enough
 * happened to show anything.
 */

const { percentiles } = require('./delays.js');

const SHOWN = 5;        /* violations in full */

/* What a run must have had; the reasons why it shows nothing. */

function tooLittle(settings, world, facts) {
  const { counts } = world;
  const missing = [];
  const need = (enough, what) => {
    if (!enough) {
      missing.push(what);
    }
  };

  for (const kind of ['create', 'revoke', 'activate', 'rotate', 'patch',
                      'delete'])
  {
    need(counts.operations[`${kind} confirmed`], `no confirmed ${kind}`);
  }
  need(counts.verdicts[200] && counts.verdicts[401],
       'not both of 200 and 401 were seen');
  need(counts.refusable >= 100,
       `only ${counts.refusable} reads could have been let in wrongly`);
  need(counts.acceptable >= 100,
       `only ${counts.acceptable} reads could have been refused wrongly`);
  need(counts.unjudged <= counts.refusable / 100,
       `${counts.unjudged} reads could not be judged`);
  need(world.workers.size >= 4, 'not every worker was asked');

  for (const kind of settings.kinds) {
    need(counts.faults[kind], `the fault ${kind} never came`);
  }
  if (facts.cached) {
    need(counts.cache.HIT >= 100, 'the cache answered hardly any request');
  }
  return missing;
}

/*
 * By kind of fault: how many, how many answers were 503, and how long an edge
 * that gave any went on so.  503 that several explain are not in it.
 */

function costs(world) {
  const kinds = {};

  for (const { kind, met, costs: of } of world.faults) {
    if (kind === 'stall' || met === 0) {
      continue;
    }

    const row = kinds[kind] || { count: 0, unavailable: 0, outages: [] };

    row.count++;
    for (const { from, until, answers } of Object.values(of)) {
      row.unavailable += answers;
      row.outages.push(until - from);
    }
    kinds[kind] = row;
  }

  for (const row of Object.values(kinds)) {
    row.outages = percentiles(row.outages);
  }
  return kinds;
}

function table(rows, shared) {
  const ms = (time) => (time === undefined ? '-' : `${time.toFixed(0)} ms`);
  const cells = [['fault', 'count', '503', 'outages', 'median', 'longest']];

  for (const [kind, { count, unavailable, outages }] of rows) {
    cells.push([kind, count, unavailable, outages.samples, ms(outages.p50),
                ms(outages.max)]);
  }
  cells.push(['several at once', '-', shared, '-', '-', '-']);
  return cells.map(([kind, ...numbers]) => kind.padEnd(20)
    + numbers.map((number) => String(number).padStart(10)).join(''));
}

function result(settings, world, facts) {
  const { counts, violations } = world;
  const missing = tooLittle(settings, world, facts);

  return {
    pass: violations.length === 0 && missing.length === 0
          && facts.complaints.length === 0,
    seed: settings.seed,
    settings,
    ...facts,
    rules: world.rules,
    counts,
    costs: costs(world),
    delays: {
      confirmed: percentiles(world.delays.confirmed),
      sent: percentiles(world.delays.sent),
    },
    missing,
    violations: violations.map(({ rule, token, about, faults }) => ({
      rule, id: token && token.id, about, faults,
    })),
  };
}

const sum = (group) => Object.values(group).reduce((a, b) => a + b, 0);

function list(group) {
  return Object.keys(group).sort().map((name) => `${name} ${group[name]}`)
    .join(', ') || 'none';
}

function delay(d) {
  return d.samples === 0 ? 'none measured'
    : `p50 ${d.p50.toFixed(1)} ms, p99 ${d.p99.toFixed(1)} ms, max `
      + `${d.max.toFixed(1)} ms (${d.samples} samples)`;
}

function print(r, world) {
  const { counts } = r;
  const lines = [
    `cache: ${r.cached ? list(counts.cache) : 'not in this build'}`,
    `tokens: ${counts.tokens}; changes: ${sum(counts.operations)}: `
      + list(counts.operations),
    `requests: ${sum(counts.verdicts)} in ${r.seconds.toFixed(0)} s: `
      + list(counts.verdicts),
    `faults: ${sum(counts.faults)}: ${list(counts.faults)}`,
    `judged: an accept would have been wrong for ${counts.refusable}, a 401 `
      + `for ${counts.acceptable}, neither for ${counts.either}; of the first `
      + `two the cache answered ${counts.hits}; not judged: ${counts.unjudged}`,
    `without a verdict, by a fault: ${counts.excused}, the last read `
      + `${counts.recovery.reads.toFixed(0)} ms after it and the last change `
      + `${counts.recovery.changes.toFixed(0)} ms; sent again after a `
      + `connection was closed: ${counts.retried}; for a change that a `
      + `failover may have undone: ${counts.missed}`,
    'revocation, from its confirmation to the last request let in: '
      + delay(r.delays.confirmed),
    `revocation, from its sending: ${delay(r.delays.sent)}`,
    `this machine: ${counts.stalls} stalls, event loop at most `
      + `${r.lag.toFixed(0)} ms late, clock ${r.drift.toFixed(1)} ms off`,
  ];

  lines.push(...table(Object.entries(r.costs).sort(), counts.shared));

  for (const line of lines) {
    console.log(line);
  }
  for (const line of r.complaints.slice(0, SHOWN)) {
    console.log(`error log: ${line}`);
  }
  for (const line of r.missing) {
    console.log(`too little: ${line}`);
  }

  const kinds = {};
  for (const { rule } of world.violations) {
    kinds[rule] = (kinds[rule] || 0) + 1;
  }
  console.log(`violations: ${world.violations.length === 0 ? 'none'
    : list(kinds)}`);
  for (const violation of world.violations.slice(0, SHOWN)) {
    explain(violation, world);
  }
  console.log(`${r.pass ? 'passed' : 'FAILED'}; again with --seed ${r.seed}`);
}

/* The history of the token around a violation, in ms from its begin. */

function explain({ rule, token, about, faults }, world) {
  const at = (t) => (t === null || t === Infinity ? '...'
    : (t - about.begin).toFixed(1));
  const rows = [];
  const { secret, edge, worker, status, cache, verdict } = about;

  console.log(`\n${rule}`);
  console.log(`    edge ${edge}, status ${status}`
    + (about.kind ? `, ${about.kind}, ${JSON.stringify(about.body || '')}`
      : `, secret ${secret}, worker ${worker}, cache ${cache}, verdict `
        + `${verdict}`)
    + `, after ${(about.end - about.begin).toFixed(1)} ms`
    + `; lease ${world.rules.lease} ms, margin ${world.rules.margin} ms`);

  for (const f of faults) {
    rows.push({ start: f.start, text: `${at(f.start)} .. ${at(f.end)} fault `
      + `${f.kind} ${f.edges.join(' ')} ${f.detail}` });
  }
  if (token) {
    console.log(`    token ${token.id}`);
    for (const c of token.changes) {
      rows.push({ start: c.start, text: `${at(c.start)} .. ${at(c.end)} `
        + `${c.kind} by ${c.edge || c.by}: ${c.outcome} ${c.status || ''}`
        + `${c.secret === undefined ? '' : ` secret ${c.secret}`}`
        + `${c.grace ? ` grace ${c.grace} s` : ''}`
        + `${c.expires === undefined ? '' : ` expires ${at(c.expires)}`}` });
    }
    const near = token.reads.filter((r) => r.edge === edge
      && r.begin > about.begin - 2500 && r.begin < about.begin + 1500);
    for (const r of sparse(near, about)) {
      rows.push({ start: r.begin, text: `${at(r.begin)} .. ${at(r.end)} read `
        + `at ${r.edge} secret ${r.secret}: ${r.status} ${r.verdict} `
        + `${r.cache || ''} worker ${r.worker}`
        + `${r.begin === about.begin ? '   <---' : ''}` });
    }
  }
  rows.sort((a, b) => a.start - b.start);
  rows.forEach(({ text }) => console.log(`    ${text}`));
}

/* Reads that say what the one before did are left out. */

function sparse(reads, about) {
  return reads.sort((a, b) => a.begin - b.begin).filter((r, i) => {
    const before = reads[i - 1];
    const next = reads[i + 1];
    const same = (o) => o && o.status === r.status && o.secret === r.secret
                        && o.cache === r.cache;

    return r.begin === about.begin || !same(before) || !same(next);
  });
}

module.exports = { result, print };
