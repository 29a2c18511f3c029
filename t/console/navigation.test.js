'use strict';

/* Every page has a URL, and the browser's own buttons lead through them. */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const {
  at, becomes, button, field, heading, link, list, row, says, sees, table,
  titled,
} = require('./lib/steps.js');

const tab = (page, name) =>
  page.getByRole('navigation', { name: 'Tabs' }).getByRole('link', { name });
const crumb = (page, name) =>
  page.getByRole('navigation', { name: 'Breadcrumb' })
    .getByRole('link', { name, exact: true });

async function isCurrent(page, name) {
  const current = page.getByRole('navigation', { name: 'Tabs' })
    .locator('[aria-current=page]');

  await becomes(() => current.allTextContents().then(String), name);
}

const PAGES = [
  ['#/organizations', 'Organizations', (p) => list(p, 'Organizations')],
  ['#/organizations/acme/groups', 'Groups · acme',
   (p) => list(p, 'Groups of acme')],
  ['#/organizations/acme/access-tokens', 'Access Tokens · acme',
   (p) => row(p, 'of acme')],
  ['#/organizations/acme/groups/dev/access-tokens',
   'Access Tokens · acme/dev', (p) => row(p, 'of dev')],
];

async function before(gateway) {
  await gateway.create('acme', { name: 'of acme' });
  await gateway.create('acme/dev', { name: 'of dev' });
}

story({ before }, (test) => {
  test('from the organizations to a group, back and forward',
       async ({ gateway, open }) => {
         const page = await open({ as: gateway.root });

         await link(page, 'acme').click();
         await at(page, '#/organizations/acme/access-tokens');
         await sees(heading(page, 'acme'), row(page, 'of acme'));
         await isCurrent(page, 'Access Tokens');
         await tab(page, 'Groups').click();
         await at(page, '#/organizations/acme/groups');
         await isCurrent(page, 'Groups');
         await list(page, 'Groups of acme').getByRole('link').click();
         await at(page, '#/organizations/acme/groups/dev/access-tokens');
         await sees(heading(page, 'dev'), row(page, 'of dev'));
         await isCurrent(page, 'Access Tokens');
         assert.equal(await tab(page, 'Groups').count(), 0);

         for (const [hash, title, content] of [PAGES[1], PAGES[2], PAGES[0]]) {
           await page.goBack();
           await at(page, hash);
           await titled(page, title);
           await sees(content(page));
         }
         await page.goForward();
         await at(page, '#/organizations/acme/access-tokens');
         await sees(row(page, 'of acme'));
       });

  for (const [hash, title, content] of PAGES) {
    test(`${hash} is reloaded and bookmarked`, async ({ gateway, open }) => {
      const page = await open({ hash, as: gateway.root, remember: true });

      await sees(content(page));
      await titled(page, title);
      await at(page, hash);
      await page.reload();
      await sees(content(page));
      await titled(page, title);
      await at(page, hash);
    });
  }

  test('the breadcrumb leads up', async ({ gateway, open }) => {
    const page = await open({ hash: PAGES[3][0], as: gateway.root });

    await crumb(page, 'acme').click();
    await at(page, '#/organizations/acme/access-tokens');
    await sees(row(page, 'of acme'));
    await crumb(page, 'Organizations').click();
    await at(page, '#/organizations');
    await sees(list(page, 'Organizations'));
  });

  test('the name of the console leads home', async ({ gateway, open }) => {
    const page = await open({ hash: PAGES[3][0], as: gateway.root });

    await sees(row(page, 'of dev'));
    await link(page, 'Access Token Console').click();
    await at(page, '#/organizations');
  });

  test('an organization and a group are opened by their ids',
       async ({ gateway, open }) => {
         const page = await open({ as: gateway.root });

         await field(page, 'Organization id').fill('brand-new');
         await button(page, 'Open').click();
         await at(page, '#/organizations/brand-new/access-tokens');
         await sees(page.getByText('No access tokens yet'));
         await tab(page, 'Groups').click();
         await sees(page.getByText('No groups yet'));
         await field(page, 'Group id').fill('first.group');
         await page.keyboard.press('Enter');
         await at(page,
                  '#/organizations/brand-new/groups/first.group/access-tokens');
         await sees(heading(page, 'first.group'));
       });

  test('what can be no id is not opened', async ({ gateway, open }) => {
    const page = await open({ as: gateway.root });
    const input = field(page, 'Organization id');

    for (const id of ['a b', '.hidden', 'a/b', 'ä', '%2e', 'x'.repeat(65)]) {
      await input.fill(id);
      await button(page, 'Open').click();
      assert.ok(await input.evaluate((e) => e.matches(':invalid')), id);
      await at(page, '#/organizations');
    }
  });

  test('what leads nowhere is not found', async ({ gateway, open }) => {
    const page = await open({ hash: '#/nonsense', as: gateway.root });

    for (const hash of ['#/nonsense', '#/organizations/acme/nonsense',
                        '#/organizations/a b/access-tokens',
                        '#/organizations/', '#/organizations/.x/groups',
                        '#/organizations/%zz', '#/organizations/%2e%2e/groups',
                        '#/organizations/acme/groups/dev/access-tokens/x',
                        '#/constructor', '#/__proto__', '#nonsense']) {
      await page.evaluate(() => { location.hash = '#/organizations'; });
      await sees(heading(page, 'Organizations'));
      await page.evaluate((h) => { location.hash = h; }, hash);
      await sees(heading(page, 'Not found'));
      await titled(page, 'Not found');
    }
  });

  test('a short URL is completed and does not catch the back button',
       async ({ gateway, open }) => {
         const page = await open({ as: gateway.root, remember: true });

         await sees(heading(page, 'Organizations'));
         await page.evaluate(() => { location.hash = '#/organizations/acme'; });
         await at(page, '#/organizations/acme/access-tokens');
         await page.evaluate(() => {
           location.hash = '#/organizations/acme/groups/dev';
         });
         await at(page, '#/organizations/acme/groups/dev/access-tokens');
         await page.goBack();
         await at(page, '#/organizations/acme/access-tokens');
         await page.goBack();
         await at(page, '#/organizations');
         await sees(heading(page, 'Organizations'));
       });

  test('ids that JavaScript knows by itself are ids like others',
       async ({ gateway, open }) => {
         await gateway.create('constructor/__proto__', { name: 'odd' });

         const page = await open({
           hash: '#/organizations/constructor/groups/__proto__/access-tokens',
           as: gateway.root,
         });

         await sees(row(page, 'odd'), heading(page, '__proto__'));
       });

  test('more than a page of organizations and of groups is loaded',
       async ({ gateway, open }) => {
         gateway.redis('ZADD', 'at:o', ...Array.from({ length: 60 }, (_, i) =>
           ['0', `org-${i + 10}`]).flat());
         for (let i = 10; i < 70; i++) {
           await gateway.create(`acme/group-${i}`);
         }

         const page = await open({ as: gateway.root });
         const organizations = list(page, 'Organizations').getByRole('link');

         await becomes(() => organizations.count(), 50);
         await button(page, 'Load more').click();
         await becomes(() => organizations.count(),
                       Number(gateway.redis('ZCARD', 'at:o')));
         await sees(link(page, 'org-69'));
         assert.equal(await button(page, 'Load more').count(), 0);

         await link(page, 'acme').click();
         await tab(page, 'Groups').click();
         const groups = list(page, 'Groups of acme').getByRole('link');
         await becomes(() => groups.count(), 50);
         await button(page, 'Load more').click();
         await becomes(() => groups.count(), 61);
       });

  test('the page of an owner that one has no rights on says so',
       async ({ gateway, open }) => {
         const admin = await gateway.create('acme/dev', { admin: true });
         const page = await open({
           hash: '#/organizations/acme/groups/group-10/access-tokens',
           as: admin.token, expect: [403, /group-10/],
         });

         await sees(heading(page, 'No rights here'));
         await says(page.getByRole('main'), /No rights here/);
         assert.equal(await table(page, 'acme/group-10').count(), 0);
       });

  test('without any organization there is a word about it',
       async ({ gateway, open }) => {
         gateway.redis('FLUSHALL');

         const page = await open({ as: gateway.root });

         await sees(page.getByText('No organizations yet'));
       });
});
