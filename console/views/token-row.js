/*
 * A token's row, and what the menu of its Status column does.
 *
 *     read() --> shown as the API has it
 *       |  revoke, activate: shown as changed; pending until the answer
 *       |  delete:           not shown; deleted, unless the answer refuses
 *       +--> refused: as it was before, and why
 *
 * A row whose change is pending takes no notice of lists that come in.
 */

import { api } from '../api.js';
import { menuButton } from '../components/menu.js';
import { h } from '../dom.js';
import { isOwn } from '../session.js';
import { DAY, ROLES, STATUS, exactTime, relativeTime } from '../words.js';
import { openDelete, openRevokeOwn, openRotate } from './dialogs.js';

const SOON = 30 * DAY;

export const COLUMNS = ['Name', 'Role', 'Technical user', 'Created', 'Expires',
                        'Last used', 'Status'];

const ACTIONS = {
  active: ['revoke', 'rotate', 'delete'],
  revoked: ['activate', 'delete'],
  expired: ['delete'],
};

export class TokenRow {
  token = null;
  deleted = false;
  #pending = false;

  /*
   * gone(row): the token is no more; shown(row): it is after all;
   * changed(row, what): the API has made a change.  signal is the page's.
   */
  constructor(owner, { signal, gone, shown, changed }) {
    Object.assign(this, { owner, signal, gone, shown, changed });

    const [button, menu] = menuButton({
      items: () => ACTIONS[this.token.status].map((name) => this.#item(name)),
      label: () => `Actions for ${this.token.name}`,
    });

    this.button = button;
    this.reason = h('p', { role: 'alert', class: 'problem' });
    this.cells = COLUMNS.map((column, i) => (i === 0
      ? h('th', { scope: 'row', role: 'rowheader' })
      : h('td', { role: 'cell', 'data-label': column })));
    this.cells.at(-1).append(button, menu, this.reason);
    this.element = h('tr', { role: 'row' }, this.cells);
  }

  read(token) {
    if (!this.#pending) {
      this.reason.textContent = '';
      this.#show({ ...token, token: undefined });       /* of a new secret */
    }
  }

  #show(token) {
    const [name, role, user, created, expires, used] = this.cells;

    this.token = token;
    this.element.dataset.id = token.id;
    name.replaceChildren(
      h('bdi', { class: 'name' }, token.name),
      isOwn(token) ? h('span', { class: 'badge' }, 'Signed in with it') : '',
      token.description ? h('p', { class: 'hint', dir: 'auto' },
                            token.description) : '');
    role.replaceChildren(ROLES[token.role]);
    user.replaceChildren(h('code', { title: token.technical_user.id },
                           token.technical_user.username));
    created.replaceChildren(moment(token.created_at),
      h('p', { class: 'hint' }, 'by ', h('bdi', {}, token.created_by)));
    expires.replaceChildren(...expiry(token));
    used.replaceChildren(token.last_used_at ? moment(token.last_used_at)
                                            : 'No use known');

    this.button.textContent = STATUS[token.status];
    this.button.className = `status ${token.status}`;
    this.button.setAttribute('aria-label',
      `${STATUS[token.status]}, actions for ${token.name}`);
    this.button.setAttribute('aria-disabled', this.#pending);
  }

  #item(name) {
    const { owner, token, signal } = this;

    return {
      revoke: {
        name: 'Revoke Token',
        act: () => (isOwn(token)
          ? openRevokeOwn(signal, () => this.#revoke()) : this.#revoke()),
      },
      activate: {
        name: 'Activate Token',
        act: () => this.#change('active', 'is active again',
                                () => api.activate(owner, token.id)),
      },
      rotate: {
        name: 'Rotate Token',
        act: () => openRotate(token, signal, (grace) => this.#rotate(grace)),
      },
      delete: {
        name: 'Delete Token',
        danger: true,
        act: () => openDelete(token, signal, () => this.#delete()),
      },
    }[name];
  }

  #revoke() {
    this.#change('revoked', 'was revoked',
                 () => api.revoke(this.owner, this.token.id));
  }

  async #change(status, told, send) {
    const before = this.token;

    this.#pending = true;
    this.reason.textContent = '';
    this.#show({ ...before, status });

    try {
      const token = await send();

      this.#pending = false;
      this.read(token);
      this.changed(this, told);
    } catch (error) {
      this.#pending = false;
      this.read(before);
      await this.#refused(error);
      this.reason.textContent = error.message;
    }
  }

  async #rotate(grace) {
    try {
      const answer = await api.rotate(this.owner, this.token.id,
                                      { grace_seconds: grace });

      this.read(answer);
      this.changed(this, 'has a new secret');
      return answer;
    } catch (error) {
      await this.#refused(error);
      throw error;
    }
  }

  async #delete() {
    this.deleted = true;
    this.gone(this);

    try {
      await api.delete(this.owner, this.token.id);
      this.changed(this, 'was deleted');
    } catch (error) {
      await this.#refused(error);
      if (error.status !== 404) {
        this.deleted = false;
        this.shown(this);
        this.reason.textContent = error.message;
      }
    }
  }

  /* The token is another than was thought: shows what it is now. */
  async #refused({ status }) {
    if (status === 404) {
      this.deleted = true;
      this.gone(this);
      this.changed(this, 'had been deleted before');

    } else if (status === 409) {
      try {
        this.read(await api.get(this.owner, this.token.id));
      } catch {
        /* what was refused is said; what it is now cannot be */
      }
    }
  }
}

function moment(text) {
  const time = Date.parse(text);

  return h('time', { datetime: text, title: exactTime(time) },
           relativeTime(time));
}

function expiry({ expires_at: text, status }) {
  if (!text) {
    return ['Never'];
  }

  const soon = status !== 'expired' && Date.parse(text) - Date.now() < SOON;

  return [moment(text), soon ? h('span', { class: 'badge soon' },
                                 'Expires soon') : ''];
}
