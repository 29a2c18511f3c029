/*
 * Elements.  Whatever comes from the API goes into the page through here, as
 * text or as the value of an attribute, never as HTML.
 */

/*
 * props: attributes (true: without a value; false, null and undefined: not
 * there) and, by names such as onclick, listeners.  children: nodes, strings,
 * arrays of both; null and false are left out.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);

  for (const [name, value] of Object.entries(props)) {
    if (value === false || value == null) {
      continue;
    }
    if (name.startsWith('on')) {
      element.addEventListener(name.slice(2), value);
    } else {
      element.setAttribute(name, value === true ? '' : value);
    }
  }

  element.append(...children.flat(Infinity).filter((child) =>
    child != null && child !== false));

  return element;
}

export function button(text, onclick, props) {
  return h('button', { type: 'button', onclick, ...props }, text);
}

/* Tells what has happened to what has this name; without: to nothing yet. */
export function announce(name, what) {
  document.getElementById('announcements').replaceChildren(
    name ? h('span', {}, h('bdi', {}, name), ' ', what) : '');
}

let ids = 0;

/* An id that no other element has, for labels and descriptions. */
export function newId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
