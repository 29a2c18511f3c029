/*
 * The page of those who are not signed in, and the way in at the start.
 */

import { api } from '../api.js';
import { Field } from '../components/field.js';
import { h } from '../dom.js';
import { adminRoles, ownerName } from '../owner.js';
import { ENDED, begin, end, remembered, session } from '../session.js';
import { ROLES } from '../words.js';

/* Signs in whom the tab remembers, or the gateway knows; if it can. */
export async function resume() {
  const credential = remembered();

  try {
    enter(credential, await api.caller(credential), true);
  } catch (error) {
    if (error.status === 401) {
      end(credential && ENDED);
    } else if (error.status === 0 || error.status >= 500) {
      session.notice = reason(error);   /* a reload may find it better */
      session.onchange();
    } else {
      end(reason(error));
    }
  }
}

export function signInPage() {
  const token = new Field('Access token or root credential', h('input', {
    type: 'password', required: true, autocomplete: 'off', 'data-focus': true,
  }), 'Of an organization’s or a group’s admin.');
  const keep = h('input', { type: 'checkbox', id: 'keep' });
  const problem = h('div', { role: 'alert', class: 'problem' },
                    session.notice || '');
  const button = h('button', { class: 'primary' }, 'Sign in');

  async function submit(event) {
    const credential = token.input.value.trim();

    event.preventDefault();
    button.disabled = true;
    problem.textContent = '';
    try {
      if (!/^[\x21-\x7e]+$/.test(credential)) {
        throw new Error('That is no token: no token has such letters.');
      }
      enter(credential, await api.caller(credential), keep.checked);
    } catch (error) {
      problem.textContent = reason(error);
      token.input.select();
    }
    button.disabled = false;
  }

  return {
    title: 'Sign in',
    content: h('form', { class: 'sign-in', onsubmit: submit },
      h('h1', { tabindex: -1 }, 'Sign in'), problem, token.element,
      h('div', { class: 'check' }, keep,
        h('label', { for: 'keep' },
          'Stay signed in in this tab until it is closed')),
      h('div', { class: 'buttons' }, button)),
  };
}

function enter(credential, caller, remember) {
  if (caller.kind !== 'root' && !adminRoles(caller).length) {
    const roles = caller.roles.map((grant) =>
      `${ROLES[grant.role].toLowerCase()} of ${ownerName(grant)}`);

    throw new Error(`${caller.name} has no admin rights here: it is `
                    + `${roles.join(', ') || 'in no role'}.`);
  }

  begin(credential, caller, remember);
}

function reason(error) {
  if (error.status === 401) {
    return 'This is not accepted: it is no active access token and no root '
           + 'credential.';
  }
  return error.message;
}
