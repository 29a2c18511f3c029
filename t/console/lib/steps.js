'use strict';

/*
 * What a person sees in the console and does there.  Everything is found by
 * its role and its name.
 */

const assert = require('node:assert/strict');

const heading = (page, name) =>
  page.getByRole('heading', { name, exact: true });
const button = (page, name) => page.getByRole('button', { name, exact: true });
const link = (page, name) => page.getByRole('link', { name, exact: true });
const dialog = (page, name) => page.getByRole('dialog', { name, exact: true });
const field = (page, name) => page.getByRole('textbox', { name, exact: true });
const list = (page, name) => page.getByRole('list', { name, exact: true });

/* The password field has no role. */

const credential = (page) =>
  page.getByLabel('Access token or root credential', { exact: true });
const remember = (page) => page.getByRole('checkbox', {
  name: 'Stay signed in in this tab until it is closed',
});

const table = (page, owner) =>
  page.getByRole('table', { name: `Access tokens of ${owner}`, exact: true });
const count = (page) => page.getByRole('main').getByRole('status');
const announcements = (page) => page.locator('#announcements');
const alert = (page) => page.getByRole('alert');

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/* The button in the status column, whatever the status. */

const status = (page, name) => page.getByRole('button', {
  name: new RegExp(`^(Active|Revoked|Expired), actions for ${escaped(name)}$`),
});
const row = (page, name) =>
  page.getByRole('row').filter({ has: status(page, name) });
const names = (page) => page.getByRole('rowheader');
const shown = async (page) =>
  (await names(page).allTextContents()).map((t) => t.trim()).join();
const search = (page) => page.getByRole('searchbox', { name: 'Search names' });

async function sees(...locators) {
  for (const locator of locators) {
    await locator.waitFor({ state: 'visible' });
  }
}

async function gone(...locators) {
  for (const locator of locators) {
    await locator.waitFor({ state: 'hidden' });
  }
}

/* Asks until the answer is the wanted one; fails with what it was. */

async function becomes(ask, wanted, seconds = 15) {
  const end = Date.now() + seconds * 1000;
  let is;

  do {
    is = await ask();
    if (wanted instanceof RegExp ? wanted.test(is) : is === wanted) {
      return;
    }
    await new Promise((done) => setTimeout(done, 20));
  } while (Date.now() < end);

  if (wanted instanceof RegExp) {
    assert.match(String(is), wanted);
  } else {
    assert.equal(is, wanted);
  }
}

const says = (locator, text) => becomes(() => locator.textContent(), text);
const titled = (page, name) =>
  becomes(() => page.title(), `${name} · Access Token Console`);
const at = (page, hash) =>
  becomes(() => decodeURIComponent(new URL(page.url()).hash), hash);


async function signIn(page, secret, { remember: stay = false } = {}) {
  await credential(page).fill(secret);
  if (stay) {
    await remember(page).check();
  }
  await button(page, 'Sign in').click();
  await gone(credential(page));
}

async function openMenu(page, name) {
  await status(page, name).click();
  await sees(page.getByRole('menu', { name: `Actions for ${name}`,
                                      exact: true }));
}

/* item: "Revoke" of "Revoke Token" … */

async function choose(page, name, item) {
  await openMenu(page, name);
  await page.getByRole('menuitem', { name: `${item} Token`, exact: true })
    .click();
}

/* By the menu and the dialog, up to its button. */

async function remove(page, name) {
  await choose(page, name, 'Delete');
  await button(dialog(page, 'Delete Token'), 'Delete').click();
  await gone(dialog(page, 'Delete Token'));
}

async function showsStatus(page, name, wanted) {
  await sees(button(page, `${wanted}, actions for ${name}`));
}

/* Up to "Create"; days: a preset. */

async function fillIn(page, { name, description, days = 30, date, admin }) {
  await button(page, 'Create Access Token').click();

  const box = dialog(page, 'Create Access Token');

  await field(box, 'Token Name').fill(name);
  if (description) {
    await field(box, 'Description').fill(description);
  }
  if (date !== undefined) {
    await box.getByLabel('Expiration Date').fill(date);
  } else {
    await button(box, `${days} days`).click();
  }
  if (admin) {
    await box.getByRole('group', { name: 'Admin Role Assignment' })
      .getByRole('checkbox').check();
  }
  return box;
}

/* The whole dialog; the secret as it was copied. */

async function create(page, members) {
  const box = await fillIn(page, members);

  await button(box, 'Create').click();

  return take(page, 'Access Token Created');
}

/* Copies the secret that the dialog shows, and closes it. */

async function take(page, title) {
  const box = dialog(page, title);
  const shown = field(box, 'Access token');

  await sees(shown);
  const secret = await shown.inputValue();

  await button(box, 'Copy Token').click();
  await sees(button(box, 'Copied'));
  assert.equal(await clipboard(page), secret, 'what is shown is copied');
  await button(box, 'Done').click();
  await gone(box);
  await becomes(() => page.locator('dialog').count(), 0);

  return secret;
}

const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

/* All places in which a page could keep a secret. */

function traces(page) {
  return page.evaluate(() => [
    document.documentElement.outerHTML,
    document.title,
    location.href,
    JSON.stringify(history.state),
    JSON.stringify({ ...sessionStorage }),
    JSON.stringify({ ...localStorage }),
    document.cookie,
    window.name,
    ...[...document.querySelectorAll('input, textarea')]
      .flatMap((e) => [e.value, e.defaultValue]),
    ...performance.getEntriesByType('resource').map((e) => e.name),
  ].join('\n'));
}

async function forgets(page, secret) {
  await becomes(async () => (await traces(page)).includes(secret), false);
}

/* What has the focus: its role or element, and its name. */

const focused = (page) => page.evaluate(() => {
  const e = document.activeElement;
  const label = e.getAttribute('aria-label') || e.labels?.[0]?.textContent
                || e.textContent;

  return `${e.getAttribute('role') || e.localName} ${label.trim()}`;
});

/* What was to be drawn has been. */

const drawn = (page) => page.evaluate(() => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(done));
}));

/* An answer that came before has been dealt with now. */

async function settled(page) {
  page.watch.mayAnswer(404, /nothing$/);
  await page.evaluate(() => fetch('../api/nothing'));
}

/* The page, its menu and its dialog: nothing is to be scrolled sideways. */

async function fits(page) {
  assert.deepEqual(await page.evaluate(() =>
    [document.scrollingElement, ...document.querySelectorAll('dialog, menu')]
      .filter((e) => {
        const { left, right } = e.getBoundingClientRect();

        return e.scrollWidth > e.clientWidth + 1 || left < 0
               || right > innerWidth + 1;
      })
      .map((e) => `${e.localName}: ${[...e.querySelectorAll('*')]
        .filter((x) => x.getBoundingClientRect().right > innerWidth + 1)
        .map((x) => `${x.localName}.${x.className}`)}`.slice(0, 300))), []);
}

/*
 * Holds the next request that fits until release(answer); come(): it is there.
 * answer: what Playwright's route.fulfill takes, 'lost', or nothing: what the
 * API says.  sent: the API is asked before, so that its answer is an old one.
 */

async function hold(page, url, { gateway, method = 'GET', sent = false } = {}) {
  let release, held = false, arrived = false;
  const answer = new Promise((done) => { release = done; });

  await page.route(url, async (route) => {
    if (held || route.request().method() !== method) {
      await route.fallback();
      return;
    }
    held = true;

    const early = sent ? await passOn(gateway, route.request()) : null;

    arrived = true;
    const given = await answer;

    /* It may be that the page is left, or does not want it any more. */
    await (given === 'lost' ? route.abort('failed')
           : given || early ? route.fulfill(given || early)
           : route.continue()).catch(() => null);
  });
  return { come: () => becomes(() => arrived, true), release };
}

/* What the API answers to it. */

async function passOn(gateway, request) {
  const { pathname, search } = new URL(request.url());
  const { authorization } = await request.allHeaders();
  const { status: code, headers, text } = await gateway.request(
    request.method(), pathname + search, {
      token: authorization?.slice('Bearer '.length),
      body: request.postDataJSON() ?? undefined,
    });

  return { status: code, body: text, contentType: headers['content-type'] };
}

const UNAVAILABLE = {
  status: 503, contentType: 'application/problem+json',
  body: JSON.stringify({ title: 'Service Unavailable', status: 503,
                         detail: 'Redis cannot answer' }),
};
const LOGIN_PAGE = {
  status: 200, contentType: 'text/html', body: '<h1>Log in</h1>',
};

module.exports = {
  LOGIN_PAGE, UNAVAILABLE, alert, announcements, at, becomes, button, choose,
  clipboard, count, create, credential, dialog, drawn, field, fillIn, fits,
  focused, forgets, gone, heading, hold, link, list, names, openMenu, remember,
  remove, row, says, search, sees, settled, shown, showsStatus, signIn, status,
  table, take, titled, traces,
};
