/*
 * A list that comes in pages: loads them, shows what is going on, and has the
 * button for more.
 *
 *     idle --restart(), more()--> loading --> idle: "Load more", if there is
 *                                    |        failed: "Try again"
 *                                    +------> idle, by "Stop"
 *
 * A page of a filtered list may be short or empty though there is more; so
 * loading goes on until there are as many entries as wanted.  A restart ends
 * the loading before it.
 */

import { button, h } from '../dom.js';
import { counted } from '../words.js';

const PAGE = 50;
const MAX = 100;                /* that the API gives at once */
const TITLES = {
  403: 'No rights here',
  503: 'Temporarily unavailable',
};

export class Pages {
  shown = 0;
  #cursor = null;
  #loading = null;              /* the AbortController of it */
  #read = 0;                    /* pages, since that began */
  #failure = null;              /* what is shown of it */

  /*
   * load({limit, cursor}, signal): {items, next}, or a promise of it;
   * add(items): puts them at the end, and returns how many; clear(): empties
   * the list; none(): what stands there if there are none; noun: of one.
   */
  constructor({ load, add, clear, none, noun, signal }) {
    Object.assign(this, { load, add, clear, none, noun, signal });

    this.count = h('p', { role: 'status', class: 'count', tabindex: -1 });
    this.state = h('div');
    this.button = button('', () => this.#press());
    this.element = h('div', { class: 'pages' }, this.state, this.count,
                     this.button);
  }

  /* Loads from the beginning; what was there stays until the answer is. */
  restart() {
    this.#run(null, PAGE);
  }

  /* The same, and as many as there were. */
  refresh() {
    this.#run(null, Math.max(PAGE, this.shown));
  }

  /* So many came, or went, by another way; a list read before is too old. */
  changed(by) {
    this.shown += by;
    if (this.#loading) {
      this.refresh();
    } else {
      this.#tell();
    }
  }

  #press() {
    if (!this.#loading) {
      this.#run(this.#cursor, PAGE);
    } else if (this.#read) {
      this.#loading.abort();
      this.#loading = null;
      this.#tell();
    }
  }

  async #run(cursor, wanted) {
    const controller = new AbortController();
    let first = cursor === null;

    this.#loading?.abort();
    this.#loading = controller;
    this.#read = 0;
    this.#failure = null;
    this.#tell();

    try {
      do {
        const { items, next } = await this.load(
          { cursor, limit: Math.min(Math.max(wanted, PAGE), MAX) },
          AbortSignal.any([controller.signal, this.signal]));

        controller.signal.throwIfAborted();
        if (first) {
          this.#empty();
          first = false;
        }
        this.shown += this.add(items);
        wanted -= items.length;
        cursor = this.#cursor = next;
        this.#read += 1;
        this.#tell();
      } while (cursor && wanted > 0);

    } catch (error) {
      if (controller.signal.aborted || this.signal.aborted) {
        return;
      }
      if (first) {
        this.#empty();
      }
      this.#failure = problem(error, () => this.#run(cursor, wanted));
    }

    this.#loading = null;
    this.#tell();
  }

  #empty() {
    this.clear();
    this.shown = 0;
    this.#cursor = null;
  }

  #tell() {
    const searching = this.#loading && this.#read;
    const focused = document.activeElement;
    let count = `${counted(this.shown, this.noun)} shown`
                + (this.#cursor ? ', there are more' : '');

    if (searching) {
      count += '. Searching…';
    } else if (this.#loading) {
      count = 'Loading…';
    } else if (this.#failure) {
      count = '';
    }

    if (this.count.textContent !== count) {
      this.count.textContent = count;           /* it is read out */
    }

    const none = !this.shown && !this.#cursor && !this.#loading;

    this.count.classList.toggle('unseen', none);
    this.state.replaceChildren(this.#failure || (none ? this.none() : ''));

    this.button.textContent = searching ? 'Stop' : 'Load more';
    this.button.hidden = !searching
                         && (!this.#cursor || this.#failure !== null);

    if (!focused.isConnected || focused === this.button && focused.hidden) {
      this.count.focus();
    }
  }
}

/* What stands in place of a list. */
export function instead(title, ...children) {
  return h('div', { class: 'state' }, h('h2', {}, title), children);
}

/* error: an ApiError; retry: what its button does. */
function problem(error, retry) {
  return h('div', { role: 'alert' },
    instead(TITLES[error.status] || 'That did not work',
            h('p', {}, error.message), button('Try again', retry)));
}
