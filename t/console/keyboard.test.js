'use strict';

/* The keyboard alone is enough, and one sees where one is. */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const {
  UNAVAILABLE, announcements, becomes, button, clipboard, count, dialog, field,
  focused, gone, heading, names, row, says, sees, showsStatus, status, table,
} = require('./lib/steps.js');

const HASH = '#/organizations/acme/access-tokens';

/* Presses Tab until it is there; each stop on the way has to be visible. */

async function tabTo(page, wanted, key = 'Tab') {
  const way = [];

  for (let i = 0; i < 40; i++) {
    await page.keyboard.press(key);
    const now = await focused(page);
    way.push(now);
    await isMarked(page, now);
    if (wanted instanceof RegExp ? wanted.test(now) : wanted === now) {
      return;
    }
  }
  assert.fail(`${wanted} is not reached: ${way.join(' > ')}`);
}

/*
 * The focus is seen: by an outline, and it is not beyond the window.  Within a
 * date, Chromium itself marks the part that has it.
 */

async function isMarked(page, what) {
  const mark = await page.evaluate(() => {
    const e = document.activeElement;

    if (e === document.body || e.type === 'date') {
      return null;
    }
    const { outlineStyle, outlineWidth } = getComputedStyle(e);
    const { top, bottom, left, right } = e.getBoundingClientRect();

    return { outline: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1,
             inSight: bottom > 0 && right > 0 && top < innerHeight
                      && left < innerWidth };
  });

  if (mark) {
    assert.deepEqual(mark, { outline: true, inSight: true }, what);
  }
}

const press = (page, ...keys) => keys.reduce(
  (before, key) => before.then(() => page.keyboard.press(key)),
  Promise.resolve());

/* From its status button, which has the focus. */

async function deleteByKeys(page, name) {
  await press(page, 'Enter');
  await becomes(() => focused(page), 'menuitem Revoke Token');
  await press(page, 'End', 'Enter');
  await sees(dialog(page, 'Delete Token'));
  await tabTo(page, 'button Delete');
  await press(page, 'Enter');
  await becomes(() => row(page, name).count(), 0);
}

story({}, (test) => {
  test('sign in, create, copy, revoke, activate, rotate, delete, sign out',
       async ({ gateway, open }) => {
         await gateway.create('acme', { name: 'another' });

         const page = await open({ hash: HASH });

         await sees(heading(page, 'Sign in'));
         await becomes(() => focused(page),
                       'input Access token or root credential');
         await page.keyboard.type(gateway.root);
         await tabTo(page, /^input Stay signed in/);
         await press(page, 'Space');
         await tabTo(page, 'button Sign in');
         await press(page, 'Enter');
         await sees(table(page, 'acme'));

         /* create */
         await tabTo(page, 'button Create Access Token');
         await press(page, 'Enter');
         await becomes(() => focused(page), 'input Token Name');
         await page.keyboard.type('by keys');
         await tabTo(page, 'button 30 days');
         await press(page, 'Space');
         await tabTo(page, /^input Admin of the organization/);
         await press(page, 'Space', 'Space');
         await tabTo(page, 'button Create');
         await press(page, 'Enter');
         await sees(dialog(page, 'Access Token Created'));
         await becomes(() => focused(page), 'button Copy Token');
         const secret = await field(page, 'Access token').inputValue();
         await press(page, 'Enter');
         await becomes(() => focused(page), 'button Copied');
         assert.equal(await clipboard(page), secret);
         await tabTo(page, 'button Done');
         await press(page, 'Enter');
         await gone(page.getByRole('dialog'));
         await becomes(() => focused(page), 'button Create Access Token');
         await becomes(() => gateway.use(secret), 200);

         /* revoke */
         await tabTo(page, 'button Active, actions for by keys');
         await press(page, 'Enter');
         await becomes(() => focused(page), 'menuitem Revoke Token');
         await isMarked(page, 'menuitem');
         await press(page, 'Enter');
         await showsStatus(page, 'by keys', 'Revoked');
         await becomes(() => focused(page),
                       'button Revoked, actions for by keys');
         await says(announcements(page), /was revoked/);
         await becomes(() => gateway.use(secret), 401);

         /* activate */
         await press(page, 'Space');
         await becomes(() => focused(page), 'menuitem Activate Token');
         await press(page, 'Space');
         await showsStatus(page, 'by keys', 'Active');
         await becomes(() => focused(page),
                       'button Active, actions for by keys');
         await says(announcements(page), /is active again/);

         /* rotate, and think better of it */
         await press(page, 'ArrowDown');
         await becomes(() => focused(page), 'menuitem Revoke Token');
         await press(page, 'ArrowDown');
         await becomes(() => focused(page), 'menuitem Rotate Token');
         await press(page, 'Enter');
         await sees(dialog(page, 'Rotate Token'));
         await press(page, 'Escape');
         await gone(page.getByRole('dialog'));
         await becomes(() => focused(page),
                       'button Active, actions for by keys');

         /* delete */
         await deleteByKeys(page, 'by keys');
         await becomes(() => announcements(page).textContent(),
                       /by keys.*deleted/);
         await becomes(() => focused(page),
                       'button Active, actions for another');

         await tabTo(page, 'button Sign out', 'Shift+Tab');
         await press(page, 'Enter');
         await sees(heading(page, 'Sign in'));
       });

  test('arrows, Home, End and Escape in a menu', async ({ gateway, open }) => {
    await gateway.create('acme', { name: 'menu' });

    const page = await open({ hash: HASH, as: gateway.root });

    await status(page, 'menu').focus();
    await press(page, 'Enter');
    for (const [key, item] of [['ArrowUp', 'Delete'], ['ArrowDown', 'Revoke'],
                               ['ArrowDown', 'Rotate'], ['End', 'Delete'],
                               ['Home', 'Revoke']]) {
      await becomes(() => focused(page), /menuitem/);
      await press(page, key);
      await becomes(() => focused(page), `menuitem ${item} Token`);
    }
    await press(page, 'Escape');
    await gone(page.getByRole('menu'));
    await becomes(() => focused(page), 'button Active, actions for menu');
    await becomes(() => status(page, 'menu').getAttribute('aria-expanded'),
                  'false');
    await press(page, 'Enter');
    await becomes(() => status(page, 'menu').getAttribute('aria-expanded'),
                  'true');
    await press(page, 'Tab');
    await gone(page.getByRole('menu'));
  });

  test('a row that is deleted hands the focus to its neighbour',
       async ({ gateway, open }) => {
         for (const name of ['third', 'second', 'first']) {
           await gateway.create('neighbours', { name });
           await new Promise((done) => setTimeout(done, 3));
         }

         const page = await open({
           hash: '#/organizations/neighbours/access-tokens', as: gateway.root,
         });

         await sees(row(page, 'second'));
         await status(page, 'second').focus();
         await deleteByKeys(page, 'second');
         await becomes(() => focused(page), 'button Active, actions for third');
       });

  test('a dialog keeps the focus within', async ({ gateway, open }) => {
    await gateway.create('acme');

    const page = await open({ hash: HASH, as: gateway.root });

    await sees(table(page, 'acme'));
    await tabTo(page, 'button Create Access Token');
    await press(page, 'Enter');
    await sees(dialog(page, 'Create Access Token'));
    for (let i = 0; i < 15; i++) {
      await press(page, 'Tab');
      assert.ok(await page.evaluate(() => {
        const e = document.activeElement;
        return e === document.body || e.closest('dialog') !== null;
      }));
    }
    await press(page, 'Escape');
    await gone(page.getByRole('dialog'));
  });

  test('the content is skipped to, at once', async ({ gateway, open }) => {
    const page = await open({ as: gateway.root, remember: true });

    await sees(heading(page, 'Organizations'));
    await page.evaluate(() => document.activeElement.blur());
    await page.reload();
    await sees(heading(page, 'Organizations'));
    const skip = page.getByRole('link', { name: 'Skip to content' });
    await skip.focus();
    await isMarked(page, 'the link to skip');
    assert.ok((await skip.boundingBox()).y >= 0, 'it is seen with the focus');
    await press(page, 'Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
    assert.equal(new URL(page.url()).hash, '#/organizations');
  });

  test('a new page begins at its heading', async ({ gateway, open }) => {
    await gateway.create('acme');

    const page = await open({ as: gateway.root });

    await page.getByRole('link', { name: 'acme', exact: true }).focus();
    await press(page, 'Enter');
    await sees(table(page, 'acme'));
    await becomes(() => focused(page), 'h1 acme');
  });

  test('"Load more" and "Try again" leave the focus in the list',
       async ({ gateway, open }) => {
         for (let i = 0; i < 120; i++) {
           await gateway.create('many', { name: `token ${i}` });
         }

         const page = await open({ hash: '#/organizations/many/access-tokens',
                                   as: gateway.root });

         await says(count(page), '50 tokens shown, there are more');
         await button(page, 'Load more').focus();
         await press(page, 'Enter');
         await says(count(page), '100 tokens shown, there are more');
         assert.match(await focused(page), /^(button Load more|status)/);

         page.watch.expect(503, /access-tokens$/);
         await page.route('**/access-tokens?*', (route) =>
           route.fulfill(UNAVAILABLE), { times: 2 });
         await button(page, 'Load more').focus();
         for (let i = 0; i < 2; i++) {
           await press(page, 'Enter');
           await sees(heading(page, 'Temporarily unavailable'));
           await becomes(() => focused(page), /^status/);
           await press(page, 'Shift+Tab');
           await becomes(() => focused(page), 'button Try again');
         }
         await press(page, 'Enter');
         await says(count(page), '120 tokens shown');
         assert.equal(await names(page).count(), 120);
         await becomes(() => focused(page), 'status 120 tokens shown');
         await press(page, 'Shift+Tab');
         assert.match(await focused(page), /^button Active, actions for token/);
       });

  test('the first page that fails is tried again by the keyboard',
       async ({ gateway, open }) => {
         await gateway.create('tried');

         const page = await open({ as: gateway.root });

         page.watch.expect(503, /access-tokens$/);
         await page.route('**/access-tokens?*', (route) =>
           route.fulfill(UNAVAILABLE), { times: 1 });
         await page.evaluate(() => {
           location.hash = '#/organizations/tried/access-tokens';
         });
         await button(page, 'Try again').focus();
         await press(page, 'Enter');
         await says(count(page), '1 token shown');
         await becomes(() => focused(page), 'status 1 token shown');
       });
});
