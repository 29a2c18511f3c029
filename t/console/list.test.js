'use strict';

/* The table of tokens: what it tells, filters, search, and loading more. */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const { inDays } = require('./lib/gateway.js');
const {
  alert, at, becomes, button, count, heading, hold, names, row, says, search,
  sees, settled, shown, showsStatus, table,
} = require('./lib/steps.js');

/* owner: "acme" or "acme/dev". */

const hash = (owner, query = '') =>
  `#/organizations/${owner.replace('/', '/groups/')}/access-tokens${query}`;
const filter = (page, name) =>
  page.getByRole('combobox', { name, exact: true });

/* Active, revoked, expired; users and an admin. */

async function some(gateway, owner) {
  const made = {};

  for (const name of ['one', 'two', 'three', 'four']) {
    made[name] = await gateway.create(owner, { name, admin: name === 'four' });
    await new Promise((done) => setTimeout(done, 3));
  }
  await gateway.api('POST', `${made.two.path}/revoke`);
  gateway.redis('HSET', `at:t:{${made.one.id.slice(0, 4)}}:${made.one.id}`,
                'e', '1700000000');
  return made;
}

story({}, (test) => {
  test('the newest token comes first, and the columns have their names',
       async ({ gateway, open }) => {
         await some(gateway, 'columns');

         const page = await open({ hash: hash('columns'), as: gateway.root });

         await becomes(() => shown(page), 'four,three,two,one');
         assert.deepEqual(
           (await page.getByRole('columnheader').allTextContents())
             .map((t) => t.trim()),
           ['Name', 'Role', 'Technical user', 'Created', 'Expires',
            'Last used', 'Status']);
         await showsStatus(page, 'four', 'Active');
         await showsStatus(page, 'two', 'Revoked');
         await showsStatus(page, 'one', 'Expired');
         await says(count(page), '4 tokens shown');
       });

  for (const owner of ['filters', 'filters/group']) {
    test(`${owner}: filters by status and role, and both together`,
         async ({ gateway, open }) => {
           await some(gateway, owner);

           const page = await open({ hash: hash(owner), as: gateway.root });

           for (const [status, wanted] of [['Active', 'four,three'],
                                           ['Revoked', 'two'],
                                           ['Expired', 'one'],
                                           ['All', 'four,three,two,one']]) {
             await filter(page, 'Status').selectOption({ label: status });
             await becomes(() => shown(page), wanted);
           }
           await filter(page, 'Role').selectOption({ label: 'Admin' });
           await becomes(() => shown(page), 'four');
           await says(count(page), '1 token shown');
           await filter(page, 'Role').selectOption({ label: 'User' });
           await becomes(() => shown(page), 'three,two,one');
           await filter(page, 'Status').selectOption({ label: 'Revoked' });
           await becomes(() => shown(page), 'two');
           await at(page, hash(owner, '?status=revoked&role=user'));
         });
  }

  test('filters and search are in the URL and survive a reload',
       async ({ gateway, open }) => {
         await some(gateway, 'survive');

         const page = await open({ hash: hash('survive'), as: gateway.root,
                                   remember: true });

         await search(page).fill('O');
         await page.keyboard.press('Enter');
         await becomes(() => shown(page), 'four,two,one');
         await filter(page, 'Status').selectOption({ label: 'Active' });
         await becomes(() => shown(page), 'four');
         const url = page.url();
         assert.match(url, /status=active/);
         assert.match(url, /search=O/);
         await page.reload();
         await becomes(() => shown(page), 'four');
         assert.equal(await search(page).inputValue(), 'O');
         assert.equal(await filter(page, 'Status').inputValue(), 'active');
         assert.equal(page.url(), url);

         const other = await open({ hash: new URL(url).hash,
                                    as: gateway.root });
         await becomes(() => shown(other), 'four');
       });

  test('a search may have what a URL cannot hold as it is',
       async ({ gateway, open }) => {
         for (const name of ['a&b=c#d?e', '100% + "ü" 🔑', '50']) {
           await gateway.create('letters', { name });
         }

         const page = await open({ hash: hash('letters'), as: gateway.root,
                                   remember: true });

         for (const text of ['a&b=c#d?e', '% + "ü" 🔑', '+']) {
           await search(page).fill(text);
           await page.keyboard.press('Enter');
           await becomes(() => names(page).count(), 1);
           await page.reload();
           await becomes(() => names(page).count(), 1);
           assert.equal(await search(page).inputValue(), text);
         }
       });

  test('a filter that is nonsense in the URL does no harm',
       async ({ gateway, open }) => {
         await some(gateway, 'nonsense');

         const page = await open({
           hash: hash('nonsense', '?status=bad&role=%zz&foo=1&search='),
           as: gateway.root,
         });

         await becomes(() => shown(page), 'four,three,two,one');
         assert.equal((await alert(page).allTextContents()).join(''), '');
       });

  for (const owner of ['clear', 'clear/group']) {
    test(`${owner}: where nothing matches, the filters can be cleared`,
         async ({ gateway, open }) => {
           await some(gateway, owner);

           const page = await open({ hash: hash(owner), as: gateway.root });

           await becomes(() => names(page).count(), 4);
           await search(page).fill('nothing like it');
           await page.keyboard.press('Enter');
           await sees(page.getByText('No access token matches'));
           await button(page, 'Clear filters').click();
           await becomes(() => shown(page), 'four,three,two,one');
           assert.equal(await search(page).inputValue(), '');
           await at(page, hash(owner));
         });
  }

  test('an owner without tokens says so', async ({ gateway, open }) => {
    const page = await open({ hash: hash('empty'), as: gateway.root });

    await sees(page.getByText('No access tokens yet'),
               button(page, 'Create Access Token'));
  });

  for (const owner of ['long', 'long/group']) {
    test(`${owner}: more is loaded with the cursor, what is new is not lost`,
         async ({ gateway, open }) => {
           for (let i = 1; i <= 120; i++) {
             await gateway.create(owner, { name: `token ${i}` });
           }

           const page = await open({ hash: hash(owner), as: gateway.root });

           await says(count(page), '50 tokens shown, there are more');
           await gateway.create(owner, { name: 'newcomer' });
           await button(page, 'Load more').click();
           await says(count(page), '100 tokens shown, there are more');
           await button(page, 'Load more').click();
           await says(count(page), '120 tokens shown');
           assert.equal(await button(page, 'Load more').count(), 0);
           const all = await names(page).allTextContents();
           assert.equal(new Set(all).size, 120, 'none is there twice');
           await button(page, 'Refresh').click();
           await sees(row(page, 'newcomer'));
         });
  }

  test('a token that expires soon is marked, one without expiry says Never',
       async ({ gateway, open }) => {
         await gateway.restart({ http: 'access_token_max_lifetime off;' });
         await gateway.create('expiry', { name: 'soon',
                                          expires_at: inDays(29) });
         await gateway.create('expiry', { name: 'later',
                                          expires_at: inDays(31) });
         await gateway.create('expiry', { name: 'never', expires_at: null });

         const page = await open({ hash: hash('expiry'), as: gateway.root });

         await says(row(page, 'soon'), /Expires soon/);
         await says(row(page, 'soon'), /in (28|29) days/);
         await says(row(page, 'later'), /in (30|31) days|next month/);
         assert.doesNotMatch(await row(page, 'later').textContent(),
                             /Expires soon/);
         await says(row(page, 'never'), /Never/);
       });

  test('the exact times are told on hover, in the zone of the person',
       async ({ gateway, open }) => {
         const made = await gateway.create('hover', { name: 'hover' });
         const page = await open({ hash: hash('hover'), as: gateway.root });
         const time = row(page, 'hover').locator(
           `time[datetime="${made.expires_at}"]`);

         await sees(time);
         const title = await time.getAttribute('title');
         const local = new Date(made.expires_at).toLocaleTimeString('en-GB', {
           timeZone: 'Europe/Berlin', hour: '2-digit', minute: '2-digit',
         });

         assert.ok(title.includes(local), `${title} has ${local}`);
       });

  test('the last use is told after a use', async ({ gateway, open }) => {
    const made = await gateway.create('used', { name: 'busy' });
    await gateway.create('used', { name: 'idle' });

    const page = await open({ hash: hash('used'), as: gateway.root });

    await says(row(page, 'busy'), /No use known/);
    await becomes(async () => {
      await gateway.use(made.token);
      return (await gateway.api('GET', made.path)).last_used_at !== null;
    }, true);
    await button(page, 'Refresh').click();
    await says(row(page, 'busy'), /now|second|minute/);
    await says(row(page, 'idle'), /No use known/);
  });

  test('a status that changed elsewhere is seen after Refresh',
       async ({ gateway, open }) => {
         const made = await gateway.create('fresh', { name: 'fresh' });
         const page = await open({ hash: hash('fresh'), as: gateway.root });

         await showsStatus(page, 'fresh', 'Active');
         await gateway.api('POST', `${made.path}/revoke`);
         await button(page, 'Refresh').click();
         await showsStatus(page, 'fresh', 'Revoked');
       });

  test('a token that expires while it is shown is then told as expired',
       async ({ gateway, open }) => {
         const made = await gateway.create('brief', { name: 'brief' });
         const page = await open({ hash: hash('brief'), as: gateway.root });

         await showsStatus(page, 'brief', 'Active');
         gateway.redis('HSET', `at:t:{${made.id.slice(0, 4)}}:${made.id}`,
                       'e', String(Math.floor(Date.now() / 1000) + 1));
         await becomes(async () => {
           await button(page, 'Refresh').click();
           return row(page, 'brief').textContent();
         }, /Expired/);
       });

  test('who is quick sees the last filter and not a late answer',
       async ({ gateway, open }) => {
         await some(gateway, 'quick');

         const page = await open({ hash: hash('quick'), as: gateway.root });

         await becomes(() => names(page).count(), 4);
         const held = await hold(page, '**/access-tokens?*status=revoked*');
         await filter(page, 'Status').selectOption({ label: 'Revoked' });
         await held.come();
         await filter(page, 'Status').selectOption({ label: 'Expired' });
         await becomes(() => shown(page), 'one');
         held.release();
         await settled(page);
         assert.equal(await shown(page), 'one');
       });

  test('a page that is left while it loads leaves nothing behind',
       async ({ gateway, open }) => {
         await some(gateway, 'left');

         const page = await open({ as: gateway.root });
         const held = await hold(page, '**/access-tokens?*');

         await page.getByRole('link', { name: 'left', exact: true }).click();
         await held.come();
         await sees(heading(page, 'left'));
         await page.goBack();
         await sees(heading(page, 'Organizations'));
         held.release();
         await settled(page);
         assert.equal(await table(page, 'left').count(), 0);
         assert.ok(await heading(page, 'Organizations').isVisible());
       });

  test('a filter without a match is announced', async ({ gateway, open }) => {
    await some(gateway, 'told');

    const page = await open({ hash: hash('told'), as: gateway.root });

    await says(count(page), '4 tokens shown');
    await search(page).fill('nothing like it');
    await page.keyboard.press('Enter');
    await says(count(page), '0 tokens shown');
    await sees(page.getByText('No access token matches'));
    assert.ok(await count(page).evaluate((e) => e.checkVisibility()),
              'a status that is hidden is not read out');
  });

  test('"Searching…" is announced once, however many pages are empty',
       async ({ gateway, open }) => {
         await some(gateway, 'empty-pages');

         const page = await open({ hash: hash('empty-pages'),
                                   as: gateway.root });
         const asked = [];

         await says(count(page), '4 tokens shown');
         await page.route('**/access-tokens?*search=rare*', (route) => {
           const { searchParams } = new URL(route.request().url());

           asked.push(searchParams.get('cursor'));
           return route.fulfill({ json: {
             access_tokens: [],
             next_cursor: asked.length < 8 ? `page ${asked.length}` : null,
           } });
         });
         await count(page).evaluate((e) => {
           window.told = [];
           new MutationObserver(() => window.told.push(e.textContent))
             .observe(e, { childList: true, characterData: true,
                           subtree: true });
         });
         await search(page).fill('rare');
         await page.keyboard.press('Enter');
         await sees(page.getByText('No access token matches'));
         assert.deepEqual(asked, [null, ...[1, 2, 3, 4, 5, 6, 7]
           .map((n) => `page ${n}`)]);
         assert.deepEqual(await page.evaluate(() => window.told), [
           'Loading…', '0 tokens shown, there are more. Searching…',
           '0 tokens shown',
         ]);
       });

  test('the table has nothing to read out where there is no row',
       async ({ gateway, open }) => {
         const page = await open({ hash: hash('no-row'), as: gateway.root });

         await sees(page.getByText('No access tokens yet'));
         assert.equal(await table(page, 'no-row').count(), 0);
       });
});
