'use strict';

/*
 * How a session begins and ends when much happens at once, and what other sites
 * can do with it.
 */

const assert = require('node:assert/strict');
const http = require('node:http');
const { story } = require('./lib/story.js');
const {
  UNAVAILABLE, alert, announcements, at, becomes, button, choose, credential,
  drawn, heading, hold, list, says, sees, settled, showsStatus, signIn, table,
} = require('./lib/steps.js');

const HASH = '#/organizations/acme/access-tokens';

const stored = (page) => page.evaluate(() =>
  JSON.stringify([{ ...sessionStorage }, { ...localStorage }]));

/*
 * A page of another server, with this in its body.  It comes from a server, as
 * Chromium lets no page that comes from nowhere ask one on this machine.
 */

async function elsewhere(browser, host, body, cookies = []) {
  const context = await browser.chromium.newContext();
  const server = http.createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end(`<title>Another site</title>${body}`);
  }).unref();

  browser.contexts.push(context);
  context.setDefaultTimeout(15000);
  context.on('close', () => {
    server.close();
    server.closeAllConnections();
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  await context.addCookies(cookies);
  const page = await context.newPage();
  await page.goto(`http://${host}.localhost:${server.address().port}/`);
  return page;
}

/* A browser that shows an answer of the API as a page looks for an icon. */

/* An admin that is no longer one, whose two changes await their 401. */

async function twoRefused(gateway, open, owner, options = {}) {
  for (const name of ['one', 'two']) {
    await gateway.create(owner, { name });
  }
  const admin = await gateway.create(owner, { admin: true });
  const page = await open({ as: admin.token, ...options });
  const post = { gateway, method: 'POST', sent: true };

  await showsStatus(page, 'one', 'Active');
  await gateway.api('POST', `${admin.path}/revoke`);
  page.watch.expect(401, /revoke$/);
  const last = await hold(page, '**/revoke', post);
  const first = await hold(page, '**/revoke', post);

  await choose(page, 'one', 'Revoke');
  await choose(page, 'two', 'Revoke');
  await Promise.all([first.come(), last.come()]);

  return { page, first, last };
}

story({ errors: [/favicon\.ico/] }, (test) => {
  test('a remembered credential is forgotten when another signs in unticked',
       async ({ gateway, open }) => {
         const other = await gateway.create('acme', { admin: true });
         const page = await open({ as: gateway.root, remember: true });

         await sees(heading(page, 'Organizations'));
         page.watch.expect(503, /caller$/);
         await page.route('**/caller', (route) => route.fulfill(UNAVAILABLE),
                          { times: 1 });
         await page.reload();
         await sees(heading(page, 'Sign in'));
         await says(alert(page), 'Redis cannot answer');
         assert.ok((await stored(page)).includes(gateway.root),
                   'a reload may find it better');
         await signIn(page, other.token);
         await says(page.locator('#caller'), `token:${other.id}`);
         assert.equal(await stored(page), '[{},{}]');
         await page.reload();
         await sees(heading(page, 'Sign in'));
       });

  test('a credential that is remembered in place of another is the last one',
       async ({ gateway, open }) => {
         const other = await gateway.create('acme', { admin: true });
         const page = await open({ as: gateway.root, remember: true });

         page.watch.expect(503, /caller$/);
         await sees(heading(page, 'Organizations'));
         await page.route('**/caller', (route) => route.fulfill(UNAVAILABLE),
                          { times: 1 });
         await page.reload();
         await signIn(page, other.token, { remember: true });
         await says(page.locator('#caller'), `token:${other.id}`);
         await page.reload();
         await says(page.locator('#caller'), `token:${other.id}`);
         assert.ok(!(await stored(page)).includes(gateway.root));
       });

  test('while Redis is down a remembered credential is kept for a reload',
       async ({ gateway, open }) => {
         const page = await open({ as: gateway.root, remember: true });

         await sees(heading(page, 'Organizations'));
         page.watch.expect(503, /caller$/);
         await page.route('**/caller', (route) => route.fulfill(UNAVAILABLE),
                          { times: 1 });
         await page.reload();
         await says(alert(page), 'Redis cannot answer');
         await page.reload();
         await sees(heading(page, 'Organizations'));
       });

  for (const [what, init] of [
    ['that refuses all', () => {
      Object.defineProperty(window, 'sessionStorage', {
        get() { throw new DOMException('no storage here', 'SecurityError'); },
      });
    }],
    ['that is full', () => {
      Storage.prototype.setItem = () => {
        throw new DOMException('it is full', 'QuotaExceededError');
      };
    }],
  ]) {
    test(`a storage ${what} is no obstacle`, async ({ gateway, open }) => {
      const page = await open({ as: gateway.root, remember: true, init });

      await sees(heading(page, 'Organizations'));
      await button(page, 'Sign out').click();
      await sees(heading(page, 'Sign in'));
      await signIn(page, gateway.root);
      await sees(heading(page, 'Organizations'));
      await page.reload();
      await sees(heading(page, 'Sign in'));
    });
  }

  test('a late 401 does not end the session that was begun meanwhile',
       async ({ gateway, open }) => {
         const { page, first, last } = await twoRefused(
           gateway, open, 'acme/late', { remember: true });
         const next = await gateway.create('acme/late', { admin: true });

         first.release();
         await sees(heading(page, 'Sign in'));
         await says(alert(page), /no longer accepted/);
         await signIn(page, next.token, { remember: true });
         await showsStatus(page, 'two', 'Active');
         last.release();
         await button(page, 'Refresh').click();
         await showsStatus(page, 'one', 'Active');
         await says(page.locator('#caller'), `token:${next.id}`);
         await page.reload();
         await showsStatus(page, 'two', 'Active');
         await says(page.locator('#caller'), `token:${next.id}`);
       });

  test('a late 401 does not take away what is typed at the sign-in page',
       async ({ gateway, open }) => {
         const { page, first, last } = await twoRefused(
           gateway, open, 'acme/typed');

         first.release();
         await credential(page).fill('half of');
         const answer = page.waitForResponse('**/revoke');
         last.release();
         await answer;
         await settled(page);
         assert.equal(await credential(page).inputValue(), 'half of');
       });

  test('who signs out while a change is under way stays signed out',
       async ({ gateway, open }) => {
         const made = await gateway.create('acme/out', { name: 'one' });
         const page = await open({ as: gateway.root, remember: true,
           hash: '#/organizations/acme/groups/out/access-tokens' });
         const held = await hold(page, '**/revoke', { method: 'POST' });

         await choose(page, 'one', 'Revoke');
         await held.come();
         await button(page, 'Sign out').click();
         await sees(heading(page, 'Sign in'));
         const answer = page.waitForResponse('**/revoke');
         held.release();
         await (await answer).finished();
         await settled(page);
         await becomes(() => gateway.use(made.token), 401);
         assert.equal(await announcements(page).textContent(), '');
         await page.reload();
         await sees(heading(page, 'Sign in'));
         assert.equal(await stored(page), '[{},{}]');
       });

  test('a change of the URL before the caller is known shows no sign-in page',
       async ({ gateway, open }) => {
         await gateway.create('acme');

         const page = await open({ as: gateway.root, remember: true });

         await sees(list(page, 'Organizations'));
         const held = await hold(page, '**/caller');
         await page.reload();
         await held.come();
         await page.evaluate((hash) => { location.hash = hash; }, HASH);
         await at(page, HASH);
         await drawn(page);
         assert.equal(await heading(page, 'Sign in').count(), 0);
         await sees(page.getByText('Loading…'));
         held.release();
         await sees(table(page, 'acme'));
         await at(page, HASH);
       });

  test('while one signs in, the button is off, and once is enough',
       async ({ gateway, open }) => {
         const page = await open();
         const held = await hold(page, '**/caller');
         let asked = 0;

         await credential(page).fill(gateway.root);
         page.on('request', (r) => { asked += r.url().endsWith('/caller'); });
         await page.keyboard.press('Enter');
         await held.come();
         await page.keyboard.press('Enter');
         assert.ok(await button(page, 'Sign in').isDisabled());
         held.release();
         await sees(heading(page, 'Organizations'));
         assert.equal(asked, 1);
       });

  test('no other site can frame the console', async ({ browser, gateway }) => {
    const src = gateway.url('', 'identity');
    const page = await elsewhere(browser, 'other',
                                 `<iframe src="${src}"></iframe>`);
    const framed = () => page.frameLocator('iframe').locator('body')
      .textContent();
    const refused = page.waitForEvent('requestfailed');

    await page.reload();
    assert.equal((await refused).url(), src);
    assert.equal((await refused).failure().errorText,
                 'net::ERR_BLOCKED_BY_RESPONSE');
    assert.doesNotMatch(await framed(), /Access Token Console/);

    /* The header it is that does it. */
    await page.route(src, async (route) => {
      const { pathname } = new URL(route.request().url());
      const { text } = await gateway.request('GET', pathname);

      await route.fulfill({ contentType: 'text/html', body: text });
    });
    await page.reload();
    await becomes(framed, /Access Token Console/);
  });

  /*
   * A form of another site, and scripts of the same host at another port, which
   * is the same site: they all have the cookie.
   */

  test('a page of another server changes nothing in the name of an identity',
       async ({ browser, gateway, open }) => {
         const made = await gateway.create('acme/safe', { name: 'safe' });
         const own = await open({ person: 'olga',
           hash: '#/organizations/acme/groups/safe/access-tokens' });
         const api = gateway.url('', 'identity')
           .replace('/console/', `/api${made.path}`);
         const from = (host) => elsewhere(browser, host,
           `<form method="post" action="${api}/revoke"><button>Go</button>`, [{
             name: 'person', value: 'olga', domain: 'identity.localhost',
             path: '/', sameSite: 'None', secure: true,
           }]);

         await showsStatus(own, 'safe', 'Active');
         for (const host of ['other', 'identity']) {
           const page = await from(host);
           const sent = page.waitForResponse('**/revoke');

           await button(page, 'Go').click();
           assert.equal((await sent).status(), 403, host);
         }

         const page = await from('identity');
         const ask = (method, path, options) => page.evaluate(
           ([url, init]) => fetch(url, init).catch(() => null),
           [api + path, { ...options, method, credentials: 'include' }]);
         const answer = page.waitForResponse('**/revoke');

         await ask('POST', '/revoke', { mode: 'no-cors' });
         assert.equal((await answer).status(), 403);
         await ask('POST', '/revoke');

         /* What a form may not, the browser first asks whether it may. */
         await ask('POST', '/revoke', { headers: { 'X-Requested-With': 'x' } });
         await ask('DELETE', '');

         assert.equal((await gateway.api('GET', made.path)).status, 'active');
         await choose(own, 'safe', 'Revoke');
         await says(announcements(own), /safe.*was revoked/);
       });
});
