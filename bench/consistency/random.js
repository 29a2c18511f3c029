'use strict';

/*
 * Random numbers from a seed.  Each part of the run has a stream of its own,
 * so the schedule of faults is the same for a seed however fast the clients
 * are.
 */

const crypto = require('node:crypto');

function random(seed, name) {
  let state = crypto.createHash('sha256').update(`${seed} ${name}`).digest()
    .readUInt32LE(0);

  /* mulberry32 */
  function next() {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  const between = (from, to) => from + next() * (to - from);
  const whole = (from, to) => Math.floor(between(from, to + 1));
  const chance = (part) => next() < part;
  const pick = (list) => list[Math.floor(next() * list.length)];

  function shuffle(list) {
    const copy = [...list];

    for (let i = copy.length - 1; i > 0; i--) {
      const j = whole(0, i);
      [copy[i], copy[j]] = [copy[j], copy[i]];
    }
    return copy;
  }

  /* The first whose running sum of weights is above a random number. */
  function weighted(weights) {
    let left = next() * Object.values(weights).reduce((a, b) => a + b, 0);

    for (const [name, weight] of Object.entries(weights)) {
      left -= weight;
      if (left < 0) {
        return name;
      }
    }
    return Object.keys(weights)[0];
  }

  return { next, between, whole, chance, pick, shuffle, weighted };
}

module.exports = { random };
