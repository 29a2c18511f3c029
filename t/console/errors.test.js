'use strict';

/* What a person sees when the API refuses, in the middle of things. */

const assert = require('node:assert/strict');
const http = require('node:http');
const { story } = require('./lib/story.js');
const { Redis, inSeconds } = require('./lib/gateway.js');
const {
  alert, at, becomes, button, choose, credential, dialog, field, fillIn,
  gone, heading, hold, link, row, says, sees, showsStatus, signIn, table, take,
} = require('./lib/steps.js');

const HASH = '#/organizations/acme/access-tokens';
const GROUP = '#/organizations/acme/groups/dev/access-tokens';

const HTML = {
  status: 500, contentType: 'text/html',
  body: '<html><h1>500 Internal Server Error</h1></html>',
};

story({ errors: [/redis/] }, (test) => {
  test('a revoke that fails shows the old state again, and why',
       async ({ gateway, open }) => {
         const { token } = await gateway.create('acme', { name: 'stubborn' });
         const page = await open({ hash: HASH, as: gateway.root });

         page.watch.expect(500, /revoke$/);
         const held = await hold(page, '**/revoke', { method: 'POST' });
         await choose(page, 'stubborn', 'Revoke');
         await showsStatus(page, 'stubborn', 'Revoked');
         held.release(HTML);
         await showsStatus(page, 'stubborn', 'Active');
         const why = alert(row(page, 'stubborn'));
         await says(why, /\w/);
         assert.ok(!(await why.textContent()).includes('<'));
         assert.equal(await gateway.use(token), 200);

         await choose(page, 'stubborn', 'Revoke');
         await showsStatus(page, 'stubborn', 'Revoked');
         await says(why, '');
         await becomes(() => gateway.use(token), 401);
       });

  test('a delete that fails brings the row back, and why',
       async ({ gateway, open }) => {
         await gateway.create('acme', { name: 'survivor' });

         const page = await open({ hash: HASH, as: gateway.root });

         page.watch.expect('net::ERR_FAILED', /access-tokens\/\w+$/);
         await page.route('**/access-tokens/*', (route) =>
           route.abort('failed'), { times: 1 });
         await choose(page, 'survivor', 'Delete');
         await button(dialog(page, 'Delete Token'), 'Delete').click();
         await says(alert(row(page, 'survivor')), /reached|cut off/);
         await showsStatus(page, 'survivor', 'Active');
       });

  test('a rotate that fails says why, and can be repeated',
       async ({ gateway, open }) => {
         await gateway.create('acme', { name: 'stuck' });

         const page = await open({ hash: HASH, as: gateway.root });

         page.watch.expect(500, /rotate$/);
         await page.route('**/rotate', (route) => route.fulfill(HTML),
                          { times: 1 });
         await choose(page, 'stuck', 'Rotate');
         const box = dialog(page, 'Rotate Token');
         await button(box, 'Rotate').click();
         await says(alert(box), /\w/);
         await button(box, 'Rotate').click();
         await take(page, 'Access Token Rotated');
       });

  test('a list that fails can be tried again', async ({ gateway, open }) => {
    await gateway.create('acme', { name: 'patient' });

    const page = await open({ as: gateway.root });

    page.watch.expect(500, /access-tokens$/);
    await page.route('**/access-tokens?*', (route) => route.fulfill(HTML),
                     { times: 2 });
    await link(page, 'acme').click();
    await sees(heading(page, 'That did not work'));
    await button(page, 'Try again').click();
    await sees(heading(page, 'That did not work'));
    await button(page, 'Try again').click();
    await sees(row(page, 'patient'));
    await gone(heading(page, 'That did not work'));
  });

  test('a page more that fails leaves the pages before, and can be repeated',
       async ({ gateway, open }) => {
         for (let i = 0; i < 60; i++) {
           await gateway.create('long', { name: `token ${i}` });
         }

         const page = await open({
           hash: '#/organizations/long/access-tokens', as: gateway.root,
         });
         const rows = page.getByRole('rowheader');

         await becomes(() => rows.count(), 50);
         page.watch.expect(500, /access-tokens$/);
         await page.route('**/access-tokens?*cursor=*', (route) =>
           route.fulfill(HTML), { times: 1 });
         await button(page, 'Load more').click();
         await sees(heading(page, 'That did not work'));
         assert.equal(await rows.count(), 50);
         await button(page, 'Try again').click();
         await becomes(() => rows.count(), 60);
         await gone(heading(page, 'That did not work'));
       });

  test('an answer that is no JSON is told as a fault',
       async ({ gateway, open }) => {
         const page = await open({ hash: '#/organizations', as: gateway.root });

         await page.route('**/groups*', (route) => route.fulfill({
           status: 200, contentType: 'text/html', body: 'a login page',
         }), { times: 1 });
         await page.evaluate(() => {
           location.hash = '#/organizations/acme/groups';
         });
         await sees(heading(page, 'That did not work'));
         await button(page, 'Try again').click();
         await becomes(() => heading(page, 'That did not work').count(), 0);
       });

  test('an answer without JSON and without a phrase is told in a sentence',
       async ({ gateway, open }) => {
         const page = await open({ hash: '#/organizations', as: gateway.root });
         const server = http.createServer((request, response) => {
           response.writeHead(502, '', { 'Content-Type': 'text/html' });
           response.end('<h1>no phrase</h1>');
         }).unref();

         await sees(heading(page, 'Organizations'));
         await new Promise((done) => server.listen(0, '127.0.0.1', done));
         page.watch.expect(502, /groups$/);
         await page.route('**/groups?*', (route) => route.continue({
           url: `http://other.localhost:${server.address().port}/groups`,
         }), { times: 1 });
         await page.evaluate(() => {
           location.hash = '#/organizations/acme/groups';
         });
         await says(page.getByRole('main').getByRole('alert').locator('p'),
                    'The gateway has answered 502.');
         server.close();
       });

  for (const [how, end] of [
    ['revoked', (gateway, { path }) => gateway.api('POST', `${path}/revoke`)],
    ['deleted', (gateway, { path }) => gateway.api('DELETE', path, undefined,
                                                   204)],
  ]) {
    test(`the own token is ${how} in the middle: sign in, and go on`,
         async ({ gateway, open }) => {
           await gateway.create('acme/dev', { name: `left ${how}` });
           const admin = await gateway.create('acme/dev', { admin: true });
           const next = await gateway.create('acme/dev', { admin: true });
           const page = await open({ as: admin.token, remember: true });

           await sees(row(page, `left ${how}`));
           await end(gateway, admin);
           page.watch.expect(401, /./);
           await choose(page, `left ${how}`, 'Revoke');
           await sees(heading(page, 'Sign in'));
           await says(alert(page), /no longer accepted/);
           await at(page, GROUP);
           assert.equal(await row(page, `left ${how}`).count(), 0);
           assert.ok(!(await page.evaluate(() =>
             JSON.stringify({ ...sessionStorage }))).includes(admin.token));
           await signIn(page, next.token);
           await at(page, GROUP);
           await sees(table(page, 'acme/dev'));
           await showsStatus(page, `left ${how}`, 'Active');
         });
  }

  test('the own token expires in the middle, with a dialog open',
       async ({ gateway, open }) => {
         const admin = await gateway.create('acme', { admin: true });
         const page = await open({ as: admin.token });
         const box = await fillIn(page, { name: 'too late' });

         page.watch.expect(401, /./);
         await gateway.api('PATCH', admin.path, { expires_at: inSeconds(6) });
         await becomes(() => gateway.use(admin.token), 401);
         await button(box, 'Create').click();
         await sees(heading(page, 'Sign in'));
         await says(alert(page), /no longer accepted/);
         await becomes(() => page.getByRole('dialog').count(), 0);
         await signIn(page, gateway.root);
         await at(page, HASH);
         await sees(table(page, 'acme'));
         assert.equal(await row(page, 'too late').count(), 0);
       });

  test('an own token that was revoked since is forgotten after a reload',
       async ({ gateway, open }) => {
         const admin = await gateway.create('acme', { admin: true });
         const page = await open({ as: admin.token, remember: true });

         await sees(table(page, 'acme'));
         await gateway.api('POST', `${admin.path}/revoke`);
         await page.reload();
         await sees(heading(page, 'Sign in'));
         await says(alert(page), /accepted/);
         await at(page, HASH);
         await page.reload();
         await says(alert(page), '');
       });

  test('Redis is down: that is told, and when it is back, so is the page',
       async ({ gateway, open }) => {
         const redis = new Redis();

         await redis.start();
         await gateway.restart({ redis: redis.socket });

         const made = await gateway.create('acme', { name: 'steady' });
         const page = await open({ hash: HASH, as: gateway.root });

         await showsStatus(page, 'steady', 'Active');
         await redis.stop();

         /* a change */
         page.watch.expect(503, /revoke$/);
         await choose(page, 'steady', 'Revoke');
         await sees(alert(row(page, 'steady')));
         await showsStatus(page, 'steady', 'Active');

         /* one in a dialog */
         page.watch.expect(503, /access-tokens$/);
         const box = await fillIn(page, { name: 'patience' });
         await button(box, 'Create').click();
         await sees(alert(box).first());
         await button(box, 'Cancel').click();

         /* the list */
         await button(page, 'Refresh').click();
         await sees(heading(page, 'Temporarily unavailable'));
         await button(page, 'Try again').click();
         await sees(heading(page, 'Temporarily unavailable'));

         /* the groups */
         page.watch.expect(503, /groups$/);
         await page.getByRole('link', { name: 'Groups', exact: true }).click();
         await sees(heading(page, 'Temporarily unavailable'));

         await redis.start();
         await becomes(async () => {
           await button(page, 'Try again').click({ timeout: 500 })
             .catch(() => null);
           return page.getByText('No groups yet').isVisible();
         }, true, 20);
         await page.getByRole('link', { name: 'Access Tokens', exact: true })
           .click();
         await showsStatus(page, 'steady', 'Active');
         await choose(page, 'steady', 'Revoke');
         await showsStatus(page, 'steady', 'Revoked');
         await becomes(() => gateway.use(made.token), 401);
       });

  test('Redis is down when one signs in with a token',
       async ({ gateway, open }) => {
         const redis = new Redis();

         await redis.start();
         await gateway.restart({ redis: redis.socket });
         const admin = await gateway.create('acme', { admin: true });
         await redis.stop();

         const page = await open();

         page.watch.expect(503, /caller$/);
         await credential(page).fill(admin.token);
         await button(page, 'Sign in').click();
         await says(alert(page), /cannot be checked/);
         await redis.start();
         await becomes(async () => {
           await button(page, 'Sign in').click({ timeout: 500 })
             .catch(() => null);
           return table(page, 'acme').isVisible();
         }, true, 20);
       });

  test('a create that was refused leaves a form that can be sent again',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const box = await fillIn(page, { name: 'twice', admin: true });

         page.watch.expect(409, /access-tokens$/);
         await page.route('**/access-tokens', (route) => route.fulfill({
           status: 409, contentType: 'application/problem+json',
           body: JSON.stringify({ title: 'Conflict', status: 409,
                                  detail: 'Not <b>now</b>, sorry' }),
         }), { times: 1 });
         await button(box, 'Create').click();
         await says(alert(box), /Not <b>now<\/b>, sorry/);
         await button(box, 'Create').click();
         await sees(field(dialog(page, 'Access Token Created'),
                          'Access token'));
       });
});
