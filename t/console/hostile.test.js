'use strict';

/* Names are what others chose.  They are text, and break no page. */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const { pause } = require('./lib/gateway.js');
const {
  announcements, becomes, button, choose, create, dialog, fillIn, fits,
  openMenu, row, says, sees, showsStatus, status, table, take,
} = require('./lib/steps.js');

const NAMES = [
  '<img src=x onerror=alert(1)>',
  '"><script>alert(1)</script>',
  '${alert(1)} {{alert(1)}} javascript:alert(1)',
  '&lt;b&gt; &amp; &#60;',
  "' onmouseover='alert(1)",
  '\u202egnp.exe\u202c مفتاح النشر',
  'מפתח ✂ 123 abc',
  '\u202e\u202e\u2066unclosed',
  'W'.repeat(100),
  '😀'.repeat(100),
  '👩‍👩‍👧‍👦👩🏽‍🚀🏳️‍🌈 e\u0301\u0327',
  'Z\u0351\u0343\u036b'.repeat(20),
  '\u00a0\u2003x\u200b',
];

/* Nothing that was a name has become an element, and nothing has run. */

async function isText(page) {
  assert.deepEqual(await page.evaluate(() => ({
    images: document.querySelectorAll('main img, dialog img').length,
    scripts: document.querySelectorAll('body script:not([src])').length,
    handlers: [...document.querySelectorAll('*')].filter((e) =>
      [...e.attributes].some((a) => /^on/i.test(a.name))).length,
  })), { images: 0, scripts: 0, handlers: 0 });
}

/* They touch, or nearly. */

async function isBeside(menu, opener) {
  const [a, b] = [await menu.boundingBox(), await opener.boundingBox()];
  const gap = (start, size) => Math.max(a[start] - b[start] - b[size],
                                        b[start] - a[start] - a[size]);

  assert.ok(gap('x', 'width') <= 0 && gap('y', 'height') <= 8,
            `${JSON.stringify(a)} is beside ${JSON.stringify(b)}`);
}

story({}, (test) => {
  test('names are text: in the table, the menu, the dialog, the announcement',
       async ({ gateway, open }) => {
         const made = [];

         for (const name of NAMES) {
           made.unshift(await gateway.create('hostile', { name,
                                                          description: name }));
           await pause(3);
         }

         const page = await open({
           hash: '#/organizations/hostile/access-tokens', as: gateway.root,
           viewport: { width: 360, height: 740 },
         });
         const box = dialog(page, 'Delete Token');
         let opened = 0;

         page.on('dialog', (d) => { opened++; d.dismiss(); });
         await becomes(() => page.getByRole('rowheader').count(), NAMES.length);
         await fits(page);

         for (const [i, { name, path }] of made.entries()) {
           const found = page.getByRole('row').nth(i + 1);
           const action = found.getByRole('button');
           const header = await found.getByRole('rowheader').textContent();

           assert.ok(header.includes(name), name);
           assert.equal(await action.getAttribute('aria-label'),
                        `Active, actions for ${name}`);
           await action.click();
           await sees(page.getByRole('menu'));
           assert.equal(await page.getByRole('menu').getAttribute('aria-label'),
                        `Actions for ${name}`);
           await fits(page);
           await page.getByRole('menuitem', { name: 'Delete Token' }).click();
           assert.ok((await box.textContent()).includes(name), name);
           await fits(page);
           await isText(page);
           await button(box, 'Cancel').click();
           await action.click();
           await page.getByRole('menuitem', { name: 'Revoke Token' }).click();
           await becomes(() => announcements(page).textContent()
             .then((t) => t.includes(name)), true);
           assert.equal((await gateway.api('GET', path)).name, name);
         }
         await isText(page);
         await fits(page);
         assert.equal(opened, 0, 'no name has opened a dialog of the browser');
       });

  test('it can be typed in, and back comes what was typed',
       async ({ gateway, open }) => {
         const page = await open({
           hash: '#/organizations/typed/access-tokens', as: gateway.root,
         });
         const name = '<b onclick="alert(1)">\u202eשלום 👩‍🚀';

         await create(page, { name, description: `${name}, really` });
         const { access_tokens: [made] } = await gateway.api('GET',
           '/organizations/typed/access-tokens');
         assert.equal(made.name, name);
         assert.equal(made.description, `${name}, really`);
         await choose(page, name, 'Revoke');
         await showsStatus(page, name, 'Revoked');
         await says(row(page, name).getByRole('rowheader'), /, really/);
         await isText(page);
       });

  test('a direction that a name has changed ends with the name',
       async ({ gateway, open }) => {
         await gateway.create('bidi', { name: '\u202eabc' });

         const page = await open({ hash: '#/organizations/bidi/access-tokens',
                                   as: gateway.root });

         /* What holds the name and no more is isolated from what is around. */
         await sees(table(page, 'bidi'));
         assert.ok(await page.getByRole('rowheader').evaluate((header) => {
           const walker = document.createTreeWalker(header,
                                                    NodeFilter.SHOW_TEXT);
           let node;

           while ((node = walker.nextNode())) {
             if (node.data.includes('\u202eabc')) {
               const { unicodeBidi, display } = getComputedStyle(
                 node.parentElement);

               return /isolate|plaintext/.test(unicodeBidi)
                      || /block|cell|flex|grid/.test(display);
             }
           }
           return false;
         }));
       });

  test('a hostile search and hostile ids are text',
       async ({ gateway, open }) => {
         const page = await open({
           hash: '#/organizations/acme/access-tokens?search='
                 + encodeURIComponent('<img src=x onerror=alert(1)>'),
           as: gateway.root,
         });

         await sees(page.getByText('No access token matches'));
         await isText(page);
         await page.evaluate(() => {
           location.hash = '#/<img src=x onerror=alert(1)>';
         });
         await sees(page.getByRole('heading', { name: 'Not found' }));
         await isText(page);
       });

  test('a gateway that answers with HTML in its words is quoted as text',
       async ({ gateway, open }) => {
         await gateway.create('acme', { name: 'quoted' });

         const page = await open({ hash: '#/organizations/acme/access-tokens',
                                   as: gateway.root });

         page.watch.expect(503, /revoke$/);
         await page.route('**/revoke', (route) => route.fulfill({
           status: 503, contentType: 'application/problem+json',
           body: JSON.stringify({ status: 503, title: 'x',
                                  detail: '<img src=x onerror=alert(1)>' }),
         }), { times: 1 });
         await choose(page, 'quoted', 'Revoke');
         await says(row(page, 'quoted').getByRole('alert'),
                    /<img src=x onerror=alert\(1\)>/);
         await isText(page);
       });

  test('a table of such names fits into any window',
       async ({ gateway, open }) => {
         for (const [i, name] of NAMES.entries()) {
           await gateway.create('all', { name, admin: i % 2 > 0,
                                         description: name.slice(0, 100) });
         }

         const page = await open({ hash: '#/organizations/all/access-tokens',
                                   as: gateway.root });

         await becomes(() => page.getByRole('rowheader').count(), NAMES.length);
         for (const width of [360, 500, 640, 800, 1000, 1200]) {
           await page.setViewportSize({ width, height: 740 });
           await fits(page);
         }
       });

  test('the dialog that shows the secret holds the longest name',
       async ({ gateway, open }) => {
         const page = await open({
           hash: '#/organizations/wide/access-tokens', as: gateway.root,
         });

         for (const width of [320, 360, 1200]) {
           await page.setViewportSize({ width, height: 740 });
           const box = await fillIn(page, {
             name: String(width).padEnd(100, 'W'),
           });
           await button(box, 'Create').click();
           await sees(dialog(page, 'Access Token Created'));
           await fits(page);
           await take(page, 'Access Token Created');
         }
       });

  for (const width of [320, 360, 1200]) {
    test(`organizations and groups with the longest ids fit into ${width} px`,
         async ({ gateway, open }) => {
           const id = String(width).padEnd(64, 'W');
           const long = 'M'.repeat(100);

           await gateway.create(`${id}/${id}`, { name: 'deep', admin: true });
           await gateway.create(`${id}/${id}`, { name: long,
                                                 description: long });
           const page = await open({
             hash: `#/organizations/${id}/groups/${id}/access-tokens`,
             as: gateway.root, viewport: { width, height: 740 },
           });

           for (const name of ['deep', long]) {
             await sees(status(page, name));
             await fits(page);
             await openMenu(page, name);
             await fits(page);
             await isBeside(page.getByRole('menu'), status(page, name));
             await page.keyboard.press('Escape');
             for (const item of ['Rotate', 'Delete']) {
               await choose(page, name, item);
               await sees(dialog(page, `${item} Token`));
               await fits(page);
               await button(page, 'Cancel').click();
             }
           }
           const box = await fillIn(page, { name: 'new one' });
           await fits(page);
           await button(box, 'Create').click();
           await sees(dialog(page, 'Access Token Created'));
           await fits(page);
           await button(page, 'Done').click();
           await fits(page);
           await button(page, 'Leave without copying').click();
           for (const [place, title] of [
             [`#/organizations/${id}/groups`, id],
             ['#/organizations', 'Organizations'],
           ]) {
             await page.evaluate((hash) => { location.hash = hash; }, place);
             await sees(page.getByRole('heading', { name: title }),
                        page.getByRole('link', { name: id }).last());
             await fits(page);
           }
         });
  }
});
