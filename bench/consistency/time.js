'use strict';

/*
 * One clock for everything that is logged: milliseconds since 1970 at the
 * start of the process, monotonic from then on, so that two times of this
 * process can be compared, and one with expires_at.  How late the event loop
 * runs is watched: it never makes a verdict wrong (see checker.js), but a
 * machine that stands still looks like a fault.
 */

const { performance } = require('node:perf_hooks');

const now = () => performance.timeOrigin + performance.now();

const sleep = (ms) => new Promise((done) => {
  setTimeout(done, Math.max(0, ms));
});

/* Waits until ready() is so; what throws is on its way up or down. */

async function comes(what, ready, ms = 30000) {
  const end = now() + ms;
  let why = '';

  for (;;) {
    try {
      if (await ready()) {
        return;
      }
      why = '';
    } catch (e) {
      why = `: ${e.message}`;
    }
    if (now() > end) {
      throw new Error(`${what} did not come${why}`);
    }
    await sleep(20);
  }
}

/* Calls stalled(start, end) when the event loop was late by more than limit. */

function watch(limit, stalled) {
  const every = 10;
  let last = now();
  let max = 0;

  const timer = setInterval(() => {
    const at = now();
    const late = at - last - every;

    max = Math.max(max, late);
    if (late > limit) {
      stalled(last, at);
    }
    last = at;
  }, every);

  return { max: () => max, stop: () => clearInterval(timer) };
}

/* How far the wall clock has gone away from ours. */

const drift = () => Math.abs(Date.now() - now());

module.exports = { now, sleep, comes, watch, drift };
