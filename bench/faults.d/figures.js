'use strict';

/* The figures of a scenario, and whether one of its bounds is broken. */

const fs = require('node:fs');

const figures = [];
let broken = 0;

function round(value) {
  return typeof value === 'number' && !Number.isInteger(value)
    ? Number(value.toPrecision(3)) : value;
}

function line(title, value, unit, verdict) {
  console.log(`  ${title.padEnd(52)} ${String(round(value)).padStart(9)} `
              + `${unit.padEnd(4)} ${verdict}`.trimEnd());
}

function figure(title, value, unit = '') {
  figures.push({ title, value: round(value), unit });
  line(title, value, unit, '');
}

/* The value has to be at most that. */

function bound(title, value, unit, limit) {
  const holds = value <= limit;

  figures.push({ title, value: round(value), unit, limit, holds });
  broken += holds ? 0 : 1;
  line(title, value, unit, holds ? `(<= ${limit})` : `BROKEN: > ${limit}`);
}

function note(text) {
  console.log(`    ${text}`);
}

function median(values) {
  const v = [...values].sort((a, b) => a - b);

  return v.length ? v[v.length >> 1] : NaN;
}

/* Whether all bounds held. */

function end(name) {
  const file = process.env.BENCH_RESULTS;

  if (file) {
    fs.writeFileSync(`${file}/faults-${name}.json`,
                     `${JSON.stringify(figures, null, 1)}\n`);
  }
  return broken === 0;
}

module.exports = { figure, bound, note, median, end };
