/*
 * A labelled input, with a hint and a place for what is wrong with it.
 */

import { h, newId } from '../dom.js';

export class Field {
  /* more: what stands between the input and the hint. */
  constructor(label, input, hint, ...more) {
    const id = newId('field');

    input.id = id;
    input.setAttribute('aria-describedby', `${id}-error ${id}-hint`);
    input.addEventListener('input', () => this.refuse(''));

    this.input = input;
    this.error = h('p', { id: `${id}-error`, class: 'problem',
                           'aria-live': 'polite' });
    this.element = h('div', { class: 'field' },
      h('label', { for: id }, label), input, more,
      h('p', { id: `${id}-hint`, class: 'hint' }, hint), this.error);
  }

  /* reason: empty if there is nothing wrong (any more). */
  refuse(reason) {
    this.error.textContent = reason;
    if (reason) {
      this.input.setAttribute('aria-invalid', 'true');
    } else {
      this.input.removeAttribute('aria-invalid');
    }
  }
}

/*
 * Puts an ApiError's errors to the fields that they are about, by the name of
 * the input, and returns what is left to say in another place.
 */
export function refuseFields(fields, error) {
  const left = [];
  const refused = [];

  for (const { pointer = '', detail } of error.errors) {
    const field = fields.find(({ input }) => pointer === `/${input.name}`);

    if (field) {
      field.refuse(sentence(detail));
      refused.push(field);
    } else {
      left.push(`${pointer} ${detail}`);
    }
  }

  fields.find((field) => refused.includes(field))?.input.focus();

  return refused.length ? left.join('; ') : error.message;
}

function sentence(detail) {
  return detail.charAt(0).toUpperCase() + detail.slice(1);
}
