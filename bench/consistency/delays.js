'use strict';

/*
 * How long a revocation takes to be felt while all is well: from the answer
 * that confirms it to the begin of the last request that is let in after it,
 * 0 if none is; and the same from the moment the change was sent.  One sample
 * is one change at one edge that was asked for the token at once.
 */

const ASKED = 100;      /* ms: an edge that nobody asks tells nothing */

class Delays {
  constructor(world) {
    this.world = world;
    this.confirmed = [];
    this.sent = [];
  }

  /* From when on the edge is not well any more; -Infinity: it was not. */
  wellUntil(edge, from) {
    const { reads: recovery } = this.world.rules.recovery;
    let until = Infinity;

    for (const f of this.world.faults) {
      const here = f.edges.length === 0 || f.edges.includes(edge);

      if (here && f.effects.length
          && (f.end === null || f.end + recovery >= from))
      {
        until = Math.min(until, f.start <= from ? -Infinity : f.start);
      }
    }
    return until;
  }

  measure({ changes, reads }) {
    const { rules } = this.world;

    for (const change of changes) {
      if (change.outcome !== 'confirmed'
          || (change.kind !== 'revoke' && change.kind !== 'delete'))
      {
        continue;
      }

      const next = changes.filter((c) => c !== change && c.end >= change.start);
      const until = Math.min(...next.map((c) => c.start),
                             change.end + rules.lease + rules.margin);

      for (const edge of new Set(reads.map((r) => r.edge))) {
        const end = Math.min(until, this.wellUntil(edge, change.start));

        if (end >= change.end + ASKED) {
          this.sample(change, reads.filter((r) => r.edge === edge
            && r.begin >= change.start - rules.lease && r.begin <= end));
        }
      }
    }
  }

  sample(change, reads) {
    const before = reads.some((r) => r.status === 200
                              && r.begin < change.start);
    const asked = reads.some((r) => r.begin >= change.end
                             && r.begin <= change.end + ASKED);
    if (!before || !asked) {
      return;
    }

    const last = Math.max(...reads.filter((r) => r.status === 200)
      .map((r) => r.begin));

    this.confirmed.push(Math.max(0, last - change.end));
    this.sent.push(Math.max(0, last - change.start));
  }
}

function percentiles(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1,
                                       Math.floor(sorted.length * part))];

  return sorted.length === 0 ? { samples: 0 } : {
    samples: sorted.length,
    p50: at(0.5),
    p99: at(0.99),
    max: sorted[sorted.length - 1],
  };
}

module.exports = { Delays, percentiles };
