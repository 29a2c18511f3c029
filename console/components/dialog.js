/*
 * A modal dialog.  It is in the page as long as it is open, and what it holds
 * goes with it.
 */

import { ApiError } from '../api.js';
import { button, h, newId } from '../dom.js';
import { refuseFields } from './field.js';

/*
 * Opens one; show() gives it its title and what is below.  It closes when
 * signal says so, or by the Escape key, unless guard() returns false; or by
 * close().  closed: a signal that says that it is closed.
 */
export class Dialog {
  guard = () => true;

  constructor(signal) {
    const controller = new AbortController();

    const leave = (event) => {
      event.preventDefault();
      this.leave();
    };

    this.signal = signal;
    this.closed = controller.signal;
    this.title = h('h2', { id: newId('dialog') });
    this.body = h('div');
    this.element = h('dialog', {
      'aria-labelledby': this.title.id,
      closedby: 'none',
      onkeydown: (event) => event.key === 'Escape' && leave(event),
      oncancel: leave,
      onclose: () => {
        controller.abort();
        this.element.remove();
      },
    }, this.title, this.body);

    document.body.append(this.element);
    this.element.showModal();
    signal.addEventListener('abort', () => this.leave(),
                            { signal: this.closed });
    window.addEventListener('beforeunload', (event) => {
      if (!this.guard()) {
        event.preventDefault();
      }
    }, { signal: this.closed });
  }

  show(title, ...children) {
    this.title.textContent = title;
    this.body.replaceChildren(...children);
    (this.body.querySelector('[data-focus]')
     || this.body.querySelector('button, input'))?.focus();
  }

  leave() {
    if (this.guard()) {
      this.close();
    }
  }

  close() {
    this.element.close();
  }
}

/*
 * A form of a dialog.  verb: on its button; fields: those that errors of the
 * API may be about; send(): called with each valid submission, one at a time.
 */
export function dialogForm(dialog, { verb, danger, fields = [], send },
                           ...children) {
  const problem = h('div', { role: 'alert', class: 'problem' });
  const submitter = h('button', { class: danger ? 'danger' : 'primary' }, verb);
  let sending = false;

  dialog.guard = () => !sending;

  async function submit(event) {
    event.preventDefault();

    if (sending) {
      return;
    }
    sending = true;
    submitter.setAttribute('aria-disabled', 'true');
    problem.textContent = '';

    try {
      await send();
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      problem.textContent = refuseFields(fields, error);
    } finally {
      sending = false;
      submitter.removeAttribute('aria-disabled');
      if (dialog.signal.aborted) {
        dialog.leave();
      }
    }
  }

  return h('form', { onsubmit: submit }, children, problem,
    h('div', { class: 'buttons' }, button('Cancel', () => dialog.leave()),
      submitter));
}
