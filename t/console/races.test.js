'use strict';

/*
 * What a person does while answers are on their way, and answers that come
 * late, in another order, or never.
 */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const { pause } = require('./lib/gateway.js');
const {
  LOGIN_PAGE, UNAVAILABLE, alert, announcements, at, becomes, button, choose,
  count, create, credential, dialog, field, fillIn, forgets, gone, heading,
  hold, link, names, openMenu, remove, row, says, sees, settled, shown,
  showsStatus, status, table, take,
} = require('./lib/steps.js');

const hash = (organization) => `#/organizations/${organization}/access-tokens`;
const path = (organization) => `/organizations/${organization}/access-tokens`;

const LIST = '**/access-tokens?*';
const ONE = '**/access-tokens/*';

/* One after the other, so that the last one is on top. */

async function make(gateway, organization, ...called) {
  const made = {};

  for (const name of called) {
    made[name] = await gateway.create(organization, { name });
    await pause(3);
  }
  return made;
}

/* The names that the API has, in its order. */

async function all(gateway, organization) {
  const found = [];
  let cursor = '';

  do {
    const page = await gateway.api('GET', `${path(organization)}?limit=100`
                                          + (cursor && `&cursor=${cursor}`));

    found.push(...page.access_tokens.map(({ name }) => name));
    cursor = page.next_cursor;
  } while (cursor);
  return found.join();
}

/* Both dialogs that show a secret: what leads there, and what it is called. */

const SECRETS = {
  Create: {
    url: '**/access-tokens', title: 'Create Access Token',
    done: 'Access Token Created',
    begin: (page) => fillIn(page, { name: 'new one' }),
  },
  Rotate: {
    url: '**/rotate', title: 'Rotate Token', done: 'Access Token Rotated',
    begin: async (page) => {
      await choose(page, 'old one', 'Rotate');
      return dialog(page, 'Rotate Token');
    },
  },
};

/* The dialog of which the answer is held, and the requests so far. */

async function awaiting(page, verb) {
  const { url, begin } = SECRETS[verb];
  const held = await hold(page, url, { method: 'POST' });
  const box = await begin(page);
  const asked = { posts: 0 };

  page.on('request', (r) => { asked.posts += r.method() === 'POST'; });
  await button(box, verb).click();
  await held.come();
  return { box, held, asked };
}

story({}, (test) => {
  for (const verb of ['Create', 'Rotate']) {
    const { title, done } = SECRETS[verb];

    for (const [how, leave, asks] of [
      ['Escape', (page) => page.keyboard.press('Escape')],
      ['Cancel', (page, box) => button(box, 'Cancel').click()],
      ['Enter', (page) => page.keyboard.press('Enter')],
      ['Back', (page) => page.goBack(), true],
    ]) {
      test(`${verb}: ${how} while the answer is awaited does not lose it`,
           async ({ gateway, open }) => {
             const owner = `slow-${verb}-${how}`;

             await make(gateway, owner, 'old one');

             const page = await open({ as: gateway.root });

             await link(page, owner).click();
             await sees(row(page, 'old one'));
             const { box, held, asked } = await awaiting(page, verb);

             for (let i = 0; i < (how === 'Back' ? 1 : 3); i++) {
               await leave(page, box);
             }
             assert.ok(await dialog(page, title).isVisible());
             held.release();
             const last = dialog(page, done);
             await sees(field(last, 'Access token'));
             const secret = await field(last, 'Access token').inputValue();
             assert.equal(await gateway.use(secret), 200);
             assert.equal(asked.posts, 1);

             if (!asks) {
               await page.keyboard.press('Escape');
             }
             await says(alert(last), /has not been copied/);
             await button(last, 'Go back').click();
             assert.equal(await field(last, 'Access token').inputValue(),
                          secret);
             await take(page, done);
             await at(page, how === 'Back' ? '#/organizations' : hash(owner));
             await forgets(page, secret);
           });
    }

    test(`${verb}: reloading and closing while the answer is awaited ask`,
         async ({ gateway, open }) => {
           const owner = `closed-${verb}`;

           await make(gateway, owner, 'old one');

           const page = await open({ hash: hash(owner), as: gateway.root,
                                     remember: true });
           const { held } = await awaiting(page, verb);

           for (const leave of [
             () => page.evaluate(() => {
               setTimeout(() => location.reload());
             }),
             () => page.close({ runBeforeUnload: true }),
           ]) {
             const asked = page.waitForEvent('dialog');

             leave();
             const question = await asked;
             assert.equal(question.type(), 'beforeunload');
             await question.dismiss();
           }
           held.release();
           await take(page, done);

           let asked = 0;
           page.on('dialog', (question) => {
             asked++;
             question.accept();
           });
           await page.reload();
           await sees(row(page, 'old one'));
           assert.equal(asked, 0, 'there is nothing to lose any more');
         });
  }

  test('a Refresh of which the second page fails goes on where it was',
       async ({ gateway, open }) => {
         for (let i = 0; i < 210; i++) {
           await gateway.create('pages', { name: `token ${i}` });
         }

         const page = await open({ hash: hash('pages'), as: gateway.root });

         for (const n of [50, 100, 150, 200]) {
           await says(count(page), `${n} tokens shown, there are more`);
           await button(page, 'Load more').click();
         }
         await says(count(page), '210 tokens shown');

         page.watch.expect(503, /access-tokens$/);
         const fails = await hold(page, '**/access-tokens?*cursor=*');
         await make(gateway, 'pages', 'newcomer');
         await button(page, 'Refresh').click();
         await fails.come();
         fails.release(UNAVAILABLE);
         await sees(heading(page, 'Temporarily unavailable'));
         await sees(row(page, 'newcomer'));
         assert.equal(await names(page).count(), 100);
         await says(count(page), '');
         assert.equal(await button(page, 'Load more').count(), 0);

         await button(page, 'Try again').click();
         await says(count(page), '211 tokens shown');
         await gone(heading(page, 'Temporarily unavailable'));
         assert.equal(await shown(page), await all(gateway, 'pages'));
       });

  test('a list that failed is not taken for one by what is created then',
       async ({ gateway, open }) => {
         await make(gateway, 'failed', 'one', 'two');

         const page = await open({ hash: hash('failed'), as: gateway.root });

         await says(count(page), '2 tokens shown');
         page.watch.expect(503, /access-tokens$/);
         const fails = await hold(page, LIST);
         await button(page, 'Refresh').click();
         await fails.come();
         fails.release(UNAVAILABLE);
         await sees(heading(page, 'Temporarily unavailable'));

         await create(page, { name: 'three' });
         assert.ok(await heading(page, 'Temporarily unavailable').isVisible());
         await says(count(page), '');
         await button(page, 'Try again').click();
         await says(count(page), '3 tokens shown');
         assert.equal(await shown(page), 'three,two,one');
       });

  test('a list that comes in while Delete asks does not keep the row',
       async ({ gateway, open }) => {
         const { two } = await make(gateway, 'asked', 'one', 'two', 'three');
         const page = await open({ hash: hash('asked'), as: gateway.root });

         await says(count(page), '3 tokens shown');
         await make(gateway, 'asked', 'four');
         const refresh = await hold(page, LIST);
         await button(page, 'Refresh').click();
         await refresh.come();
         await choose(page, 'two', 'Delete');
         refresh.release();
         await becomes(() => page.locator('tbody tr').count(), 4);
         await button(dialog(page, 'Delete Token'), 'Delete').click();
         await becomes(() => shown(page), 'four,three,one');
         await says(announcements(page), /two.*deleted/);
         await says(count(page), '3 tokens shown');
         await gateway.api('GET', two.path, undefined, 404);
       });

  test('a Delete that fails after a Refresh brings the row back, once',
       async ({ gateway, open }) => {
         await make(gateway, 'back', 'one', 'two', 'three');

         const page = await open({ hash: hash('back'), as: gateway.root });

         await says(count(page), '3 tokens shown');
         page.watch.expect(503, /access-tokens\/\w+$/);
         const fails = await hold(page, ONE, { method: 'DELETE' });
         await remove(page, 'two');
         await fails.come();
         await becomes(() => shown(page), 'three,one');
         await make(gateway, 'back', 'four');
         await button(page, 'Refresh').click();
         await sees(row(page, 'four'));
         assert.equal(await shown(page), 'four,three,one');
         await says(count(page), '3 tokens shown');
         fails.release(UNAVAILABLE);
         await becomes(() => shown(page), 'four,three,two,one');
         await says(alert(row(page, 'two')), 'Redis cannot answer');
         await says(count(page), '4 tokens shown');
         await button(page, 'Refresh').click();
         await says(alert(row(page, 'two')), '');
         assert.equal(await shown(page), 'four,three,two,one');
       });

  test('a deleted token is not brought back by a list that was read before',
       async ({ gateway, open }) => {
         await make(gateway, 'stale', 'one', 'two', 'three');

         const page = await open({ hash: hash('stale'), as: gateway.root });

         await says(count(page), '3 tokens shown');
         const old = await hold(page, LIST, { gateway, sent: true });
         await button(page, 'Refresh').click();
         await old.come();
         await remove(page, 'two');
         await says(announcements(page), /two.*deleted/);
         old.release();
         await says(count(page), '2 tokens shown');
         await settled(page);
         assert.equal(await shown(page), 'three,one');
       });

  for (const [what, from, item, to, told] of [
    ['revoked', 'Active', 'Revoke', 'Revoked', /was revoked/],
    ['activated', 'Revoked', 'Activate', 'Active', /is active again/],
  ]) {
    test(`what was ${what} stays so when a list read before comes in`,
         async ({ gateway, open }) => {
           const name = `one ${what}`;
           const made = (await make(gateway, what, name))[name];

           if (from === 'Revoked') {
             await gateway.api('POST', `${made.path}/revoke`);
           }

           const page = await open({ hash: hash(what), as: gateway.root });

           await showsStatus(page, name, from);
           const old = await hold(page, LIST, { gateway, sent: true });
           await button(page, 'Refresh').click();
           await old.come();
           await choose(page, name, item);
           await says(announcements(page), told);
           old.release();
           await settled(page);
           await says(count(page), '1 token shown');
           await showsStatus(page, name, to);
         });
  }

  test('a row whose change is pending takes no notice of lists',
       async ({ gateway, open }) => {
         await make(gateway, 'pending', 'one', 'two');

         const page = await open({ hash: hash('pending'), as: gateway.root });

         await showsStatus(page, 'one', 'Active');
         const held = await hold(page, '**/revoke', { method: 'POST' });
         await choose(page, 'one', 'Revoke');
         await held.come();
         await make(gateway, 'pending', 'three');
         await button(page, 'Refresh').click();
         await sees(row(page, 'three'));
         assert.equal(await shown(page), 'three,two,one');
         await showsStatus(page, 'one', 'Revoked');
         assert.equal(await status(page, 'one').getAttribute('aria-disabled'),
                      'true');
         held.release();
         await says(announcements(page), /one.*was revoked/);
         await showsStatus(page, 'one', 'Revoked');
         await becomes(() => status(page, 'one').getAttribute('aria-disabled'),
                       'false');
       });

  test('a change that is refused after a Refresh is taken back',
       async ({ gateway, open }) => {
         await make(gateway, 'taken', 'one');

         const page = await open({ hash: hash('taken'), as: gateway.root });

         await showsStatus(page, 'one', 'Active');
         page.watch.expect(503, /revoke$/);
         const held = await hold(page, '**/revoke', { method: 'POST' });
         await choose(page, 'one', 'Revoke');
         await held.come();
         await make(gateway, 'taken', 'two');
         await button(page, 'Refresh').click();
         await sees(row(page, 'two'));
         held.release(UNAVAILABLE);
         await showsStatus(page, 'one', 'Active');
         await says(alert(row(page, 'one')), 'Redis cannot answer');
         await openMenu(page, 'one');
       });

  test('while a change is pending, the menu of its row does not open',
       async ({ gateway, open }) => {
         await make(gateway, 'menus', 'one', 'two');

         const page = await open({ hash: hash('menus'), as: gateway.root });

         await showsStatus(page, 'one', 'Active');
         const held = await hold(page, '**/revoke', { method: 'POST' });
         await choose(page, 'one', 'Revoke');
         await held.come();
         await becomes(() => status(page, 'one').getAttribute('aria-disabled'),
                       'true');
         await status(page, 'one').click({ force: true });
         assert.equal(await page.getByRole('menu').count(), 0);
         for (const key of ['Enter', 'Space', 'ArrowDown']) {
           await status(page, 'one').focus();
           await page.keyboard.press(key);
           assert.equal(await page.getByRole('menu').count(), 0, key);
         }
         await openMenu(page, 'two');
         await page.keyboard.press('Escape');
         held.release();
         await says(announcements(page), /one.*was revoked/);
         await openMenu(page, 'one');
       });

  test('what is created while a list is on its way is there once, on top',
       async ({ gateway, open }) => {
         await make(gateway, 'top', 'one', 'two');

         const page = await open({ hash: hash('top'), as: gateway.root });

         await says(count(page), '2 tokens shown');
         const old = await hold(page, LIST, { gateway, sent: true });
         await button(page, 'Refresh').click();
         await old.come();
         await create(page, { name: 'three' });
         old.release();
         await says(count(page), '3 tokens shown');
         await settled(page);
         assert.equal(await shown(page), 'three,two,one');
         await says(count(page), '3 tokens shown');
       });

  test('what a list has before its own answer comes is there once',
       async ({ gateway, open }) => {
         await make(gateway, 'early', 'one', 'two');

         const page = await open({ hash: hash('early'), as: gateway.root });

         await says(count(page), '2 tokens shown');
         const refresh = await hold(page, LIST);
         await button(page, 'Refresh').click();
         await refresh.come();
         const made = await hold(page, '**/access-tokens',
                                 { gateway, method: 'POST', sent: true });
         const box = await fillIn(page, { name: 'three' });
         await button(box, 'Create').click();
         await made.come();
         refresh.release();
         await becomes(() => page.locator('tbody tr').count(), 3);
         made.release();
         await take(page, 'Access Token Created');
         assert.equal(await shown(page), 'three,two,one');
         await says(count(page), '3 tokens shown');
       });

  test('what is created during "Load more" is there once, on top',
       async ({ gateway, open }) => {
         for (let i = 0; i < 60; i++) {
           await gateway.create('more', { name: `token ${i}` });
         }

         const page = await open({ hash: hash('more'), as: gateway.root });

         await says(count(page), '50 tokens shown, there are more');
         const old = await hold(page, LIST, { gateway, sent: true });
         await button(page, 'Load more').click();
         await old.come();
         await create(page, { name: 'newcomer' });
         old.release();
         await says(count(page), /^5[01] tokens shown, there are more$/);
         await button(page, 'Load more').click();
         await says(count(page), '61 tokens shown');
         assert.equal(await shown(page), await all(gateway, 'more'));
       });

  test('a create of which the answer is lost may have been done',
       async ({ gateway, open }) => {
         const page = await open({ hash: hash('lost'), as: gateway.root });

         page.watch.expect('net::ERR_FAILED', /access-tokens$/);
         const lost = await hold(page, '**/access-tokens',
                                 { gateway, method: 'POST', sent: true });
         const box = await fillIn(page, { name: 'perhaps' });
         await button(box, 'Create').click();
         await lost.come();
         lost.release('lost');
         await says(alert(box), /cannot be reached.*may have been done/);
         assert.equal(await field(box, 'Token Name').inputValue(), 'perhaps');
         await button(box, 'Cancel').click();
         await gone(box);
         await button(page, 'Refresh').click();
         await sees(row(page, 'perhaps'));
       });

  test('a list of which the answer is lost has changed nothing',
       async ({ gateway, open }) => {
         await make(gateway, 'read', 'one');

         const page = await open({ hash: hash('read'), as: gateway.root });

         await sees(row(page, 'one'));
         page.watch.expect('net::ERR_FAILED', /access-tokens$/);
         const lost = await hold(page, LIST);
         await button(page, 'Refresh').click();
         await lost.come();
         lost.release('lost');
         await says(alert(page).filter({ hasText: 'did not work' }),
                    /cannot be reached/);
         assert.equal(await page.getByText('may have been done').count(), 0);
       });

  /* Something before the gateway that has its own idea of an answer. */

  for (const [what, owner, answer, told] of [
    ['a page of HTML', 'html', LOGIN_PAGE, /^The gateway has answered 200/],
    ['a redirect', 'redirect',
     { status: 302, headers: { location: '/log-in' } },
     /^The gateway sends elsewhere, perhaps to sign in/],
  ]) {
    test(`${what} in place of an answer is told in a sentence`,
         async ({ gateway, open }) => {
           await make(gateway, owner, 'one');

           const page = await open({ hash: hash(owner) });
           const instead = async (url, act) => {
             await page.route(url, (route) => route.fulfill(answer),
                              { times: 1 });
             await act();
           };

           await credential(page).fill(gateway.root);
           await instead('**/caller', () => button(page, 'Sign in').click());
           await says(alert(page), told);
           await button(page, 'Sign in').click();
           await showsStatus(page, 'one', 'Active');

           await instead('**/revoke', () => choose(page, 'one', 'Revoke'));
           await says(alert(row(page, 'one')), told);
           await showsStatus(page, 'one', 'Active');

           await instead(ONE, () => remove(page, 'one'));
           await says(alert(row(page, 'one')), told);

           await choose(page, 'one', 'Rotate');
           const turn = dialog(page, 'Rotate Token');
           await instead('**/rotate', () => button(turn, 'Rotate').click());
           await says(alert(turn), told);
           await button(turn, 'Cancel').click();

           const box = await fillIn(page, { name: 'two' });
           await instead('**/access-tokens',
                         () => button(box, 'Create').click());
           await says(alert(box), told);
           await button(box, 'Cancel').click();

           await instead(LIST, () => button(page, 'Refresh').click());
           await says(page.getByRole('main').getByRole('alert').last()
             .locator('p'), told);
           await button(page, 'Try again').click();
           await says(count(page), '1 token shown');
           await sees(table(page, owner));
         });
  }
});
