/*
 * A token that has just been made: shown once, in a dialog that does not close
 * before it was copied, or given up.
 */

import { button, h, newId } from '../dom.js';

/* The token is kept in the input alone, and goes with it. */
export function showSecret(dialog, title, { name, token }) {
  const hint = newId('hint');
  const input = h('input', {
    id: newId('token'),
    class: 'secret',
    readonly: true,
    autocomplete: 'off',
    spellcheck: 'false',
    'aria-describedby': hint,
    onfocus: () => input.select(),
    oncopy: () => tell(selectsAll(input)),
  });
  const copier = button('Copy Token', async () => tell(await copy(input)),
                        { class: 'primary', 'data-focus': true,
                          'aria-describedby': hint });
  const told = h('p', { role: 'status', class: 'hint' });
  const question = h('div', { role: 'alert' });
  let copied = false;

  function tell(success) {
    copied ||= success;
    if (success) {
      copier.textContent = 'Copied';
      told.textContent = 'The token is in the clipboard.';
      question.replaceChildren();
    } else {
      told.textContent = 'It is not copied yet: copy the whole of it by hand.';
      input.focus();
    }
  }

  function ask() {
    const back = button('Go back', () => {
      question.replaceChildren();
      copier.focus();
    });

    question.replaceChildren(h('div', { class: 'question' },
      h('p', {}, 'The token has not been copied. It can’t be seen again: '
                 + 'without it, all that is left is to rotate or delete it.'),
      h('div', { class: 'buttons' }, back,
        button('Leave without copying', () => dialog.close(),
               { class: 'danger' }))));
    back.focus();
  }

  dialog.guard = () => {
    if (!copied) {
      ask();
    }
    return copied;
  };

  dialog.closed.addEventListener('abort', () => { input.value = ''; });
  input.value = token;
  dialog.show(title,
    h('p', { id: hint },
      h('strong', {}, 'Copy it now: it can’t be seen again.'),
      ' Only a digest of it is kept.'),
    h('div', { class: 'field' },
      h('label', { for: input.id }, 'Access token'),
      h('p', { class: 'hint' }, 'of ', h('bdi', {}, name)), input, told),
    question,
    h('div', { class: 'buttons' }, copier,
      button('Done', () => dialog.leave())));
}

function selectsAll(input) {
  return input.selectionStart === 0
         && input.selectionEnd === input.value.length;
}

/* Without TLS a browser has no clipboard to offer, but the old command. */
async function copy(input) {
  try {
    await navigator.clipboard.writeText(input.value);
    return true;
  } catch {
    input.select();
    return document.execCommand('copy');
  }
}
