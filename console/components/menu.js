/*
 * A button that opens a menu, as the ARIA Authoring Practices have it: arrow
 * keys, Home and End go through the menu, Escape back to the button.
 */

import { button, h, newId } from '../dom.js';

/*
 * items(): the {name, act, danger} of the moment, asked when the menu opens;
 * label(): what the menu is called.  Returns the button and the menu.
 */
export function menuButton({ items, label }) {
  const menu = h('menu', {
    id: newId('menu'),
    popover: 'auto',
    role: 'menu',
    onbeforetoggle: (event) => {
      if (opener.getAttribute('aria-disabled') === 'true') {
        event.preventDefault();
      } else if (event.newState === 'open') {
        menu.setAttribute('aria-label', label());
        menu.replaceChildren(...items().map((item) => entry(menu, item)));
      }
    },
    ontoggle: (event) => {
      opener.setAttribute('aria-expanded', event.newState === 'open');
      if (event.newState === 'open') {
        menu.querySelector('button').focus();
      } else {
        menu.replaceChildren();
      }
    },
    onkeydown: (event) => move(menu, event),
  });
  const opener = button('', null, {
    popovertarget: menu.id,
    'aria-haspopup': 'menu',
    'aria-expanded': 'false',
    onkeydown: (event) => {
      if (event.key === 'ArrowDown') {
        event.preventDefault();
        menu.showPopover({ source: opener });
      }
    },
  });

  return [opener, menu];
}

function entry(menu, { name, act, danger }) {
  return h('li', { role: 'none' }, button(name, () => {
    menu.hidePopover();
    act();
  }, { role: 'menuitem', tabindex: -1, class: danger && 'danger' }));
}

function move(menu, event) {
  const buttons = [...menu.querySelectorAll('button')];
  const now = buttons.indexOf(document.activeElement);
  const last = buttons.length - 1;
  const next = {
    ArrowDown: now === last ? 0 : now + 1,
    ArrowUp: now <= 0 ? last : now - 1,
    Home: 0,
    End: last,
  }[event.key];

  if (event.key === 'Tab') {
    menu.hidePopover();         /* and on from the button */

  } else if (next !== undefined) {
    event.preventDefault();
    buttons[next].focus();
  }
}
