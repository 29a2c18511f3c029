/*
 * The dialogs of the Access Tokens tab.
 */

import { api } from '../api.js';
import { Dialog, dialogForm } from '../components/dialog.js';
import { Field } from '../components/field.js';
import { showSecret } from '../components/secret.js';
import { button, h } from '../dom.js';
import { ownerName } from '../owner.js';
import { isOwn, session } from '../session.js';
import { DAY } from '../words.js';

const PRESETS = [30, 90, 365];          /* days */
const PRESET = 90;                      /* if the API grants so long */

/* created() is called with the API's answer. */
export function openCreate(owner, signal, created) {
  const dialog = new Dialog(signal);
  const name = new Field('Token Name', h('input', {
    name: 'name', required: true, autocomplete: 'off', 'data-focus': true,
  }), 'What it is for, such as “deploy pipeline”.');
  const description = new Field('Description', h('input', {
    name: 'description', autocomplete: 'off',
  }), 'Optional.');
  const expires = expirationDate();
  const [role, admin] = adminRole(owner);
  const fields = [name, description, expires];

  async function send() {
    const answer = await api.create(owner, {
      name: name.input.value,
      description: description.input.value,
      expires_at: expires.time(),
      admin: admin.checked,
    });

    created(answer);
    showSecret(dialog, 'Access Token Created', answer);
  }

  dialog.show('Create Access Token',
    dialogForm(dialog, { verb: 'Create', fields, send },
      fields.map(({ element }) => element), role));
}

/* A Field, with time(): what the API is to be told. */
function expirationDate() {
  const max = session.caller.max_lifetime_seconds;
  const last = max === null ? Infinity : max * 1000;

  /* a lifetime that may hold no midnight is told by the minute */
  const form = last < 2 * DAY ? minutes : dates;
  const input = h('input', {
    name: 'expires_at',
    type: form.type,
    required: max !== null,
    min: form.print(Date.now() + form.least),
    max: last < Infinity && form.print(Date.now() + last),
  });
  const presets = PRESETS.filter((days) => days * DAY <= last).map((days) =>
    preset(input, `${days} days`, form.print(Date.now() + days * DAY)));

  if (max === null) {
    presets.push(preset(input, 'No expiration', ''));
  }

  input.value = form.print(Date.now() + Math.min(PRESET * DAY, last));

  return Object.assign(
    new Field('Expiration Date', input, form.hint,
              h('div', { class: 'presets' }, presets)),
    { time: () => form.read(input.value) });
}

const dates = {
  type: 'date',
  hint: 'It stops working when that day begins, in UTC.',
  least: DAY,
  print: (time) => new Date(time).toISOString().slice(0, 10),
  read: (value) => value || null,
};

const minutes = {
  type: 'datetime-local',
  hint: 'It stops working then, in your time.',
  least: 60000,
  print: (time) => {
    const shift = new Date(time).getTimezoneOffset() * 60000;
    return new Date(time - shift).toISOString().slice(0, 16);
  },
  read: (value) => new Date(value).toISOString(),
};

function preset(input, text, value) {
  return button(text, () => {
    input.value = value;
    input.dispatchEvent(new Event('input'));
  });
}

/* The element, and the check box in it. */
function adminRole(owner) {
  const level = owner.group ? 'group' : 'organization';
  const covers = owner.group ? 'the group' : 'the organization and its groups';
  const input = h('input', { type: 'checkbox', id: 'admin', name: 'admin',
                             'aria-describedby': 'admin-hint' });

  return [h('fieldset', {},
    h('legend', {}, 'Admin Role Assignment'),
    h('div', { class: 'check' }, input,
      h('label', { for: 'admin' },
        `Admin of the ${level} ${ownerName(owner)}`)),
    h('p', { id: 'admin-hint', class: 'hint' },
      `With it, the token manages the access tokens of ${covers}; without it, `
      + `it is a user of ${covers}.`)), input];
}

/* send(seconds) rotates it, and returns the API's answer. */
export function openRotate(token, signal, send) {
  const dialog = new Dialog(signal);
  const grace = new Field('The old secret stays valid for', h('select',
    { name: 'grace_seconds', 'data-focus': true },
    h('option', { value: 0 }, 'no time: it ends at once'),
    h('option', { value: 3600 }, '1 hour'),
    h('option', { value: 86400 }, '24 hours')),
  'Time for those who use it to change over.');

  dialog.show('Rotate Token', dialogForm(dialog, {
    verb: 'Rotate',
    fields: [grace],
    send: async () => showSecret(dialog, 'Access Token Rotated',
                                 await send(Number(grace.input.value))),
  },
  h('p', {}, h('bdi', {}, token.name), ' gets a new secret. Its name, its role '
    + 'and its technical user stay.'),
  isOwn(token) && ownWarning(), grace.element));
}

/* The dialog is closed when send() is called. */
export function openDelete(token, signal, send) {
  confirm('Delete', signal, send,
    h('p', {}, 'Delete ', h('strong', {}, h('bdi', {}, token.name)), ' and its '
      + 'technical user ', h('code', {}, token.technical_user.username), '?'),
    h('p', {}, 'This can’t be undone: whatever uses the token is refused '
      + 'from now on.'),
    isOwn(token) && ownWarning());
}

export function openRevokeOwn(signal, send) {
  confirm('Revoke', signal, send, ownWarning());
}

function confirm(verb, signal, send, ...children) {
  const dialog = new Dialog(signal);

  dialog.show(`${verb} Token`, dialogForm(dialog, {
    verb,
    danger: true,
    send: () => {
      dialog.close();
      send();
    },
  }, children));
}

function ownWarning() {
  return h('p', { class: 'problem' }, 'You are signed in with this token, and '
    + 'will have to sign in again.');
}
