'use strict';

/*
 * The life of a token, at both levels: what is done in the console takes effect
 * on requests that carry the token.
 */

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { story } = require('./lib/story.js');
const {
  announcements, becomes, button, choose, create, dialog, fillIn, forgets, gone,
  heading, openMenu, row, says, sees, showsStatus, table, take,
} = require('./lib/steps.js');

const LEVELS = [
  ['acme', '#/organizations/acme/access-tokens', 'Organization'],
  ['acme/dev', '#/organizations/acme/groups/dev/access-tokens', 'Group'],
];

const cell = (page, name, header) =>
  row(page, name).getByRole('cell').nth(
    ['Role', 'Technical user', 'Created', 'Expires', 'Last used', 'Status']
      .indexOf(header));

/*
 * What a program gets that has the token: as it is told in the documents, in a
 * header.  ps would show an argument.
 */

function curl(gateway, secret) {
  return execFileSync('curl', [
    '--silent', '--max-time', '20', '--header', '@-',
    '--resolve', `gateway.localhost:${gateway.port}:127.0.0.1`,
    '--write-out', '%{http_code}',
    `http://gateway.localhost:${gateway.port}/`,
  ], { input: `Authorization: Bearer ${secret}\n`, encoding: 'utf8' });
}

/* Creates one in the dialog; its secret and its path in the API. */

async function make(page, gateway, owner, name, more = {}) {
  const secret = await create(page, { name, ...more });
  const base = `/organizations/${owner.replace('/', '/groups/')}/access-tokens`;
  const { access_tokens: found } =
    await gateway.api('GET', `${base}?search=${encodeURIComponent(name)}`);

  assert.equal(found.length, 1);
  return { secret, token: found[0], path: `${base}/${found[0].id}` };
}

story({}, (test) => {
  for (const [owner, hash, level] of LEVELS) {
    test(`${owner}: a token is created, used, revoked and activated`,
         async ({ gateway, open }) => {
           const page = await open({ hash, as: gateway.root });
           const { secret, token } = await make(
             page, gateway, owner, 'pipeline', { days: 90, description: 'ci' });

           assert.equal(curl(gateway, secret), 'let in\n200');
           assert.match(curl(gateway, `${secret.slice(0, -1)}_`), /401$/);
           await sees(table(page, owner));
           await says(cell(page, 'pipeline', 'Role'), `${level} user`);
           await says(cell(page, 'pipeline', 'Technical user'),
                      new RegExp(token.technical_user.username));
           await says(cell(page, 'pipeline', 'Created'), /root/);
           await says(cell(page, 'pipeline', 'Expires'), /in (89|90) days/);
           await says(row(page, 'pipeline').getByRole('rowheader'),
                      /pipeline.*ci/s);
           assert.equal(token.role, `${level.toLowerCase()}_user`);
           assert.ok(Math.abs(Date.parse(token.expires_at) - Date.now()
                              - 90 * 86400e3) < 86400e3 + 60e3,
                     `90 days: ${token.expires_at}`);

           await choose(page, 'pipeline', 'Revoke');
           await showsStatus(page, 'pipeline', 'Revoked');
           await says(announcements(page), /pipeline.*revoked/);
           await becomes(() => gateway.use(secret), 401);

           await choose(page, 'pipeline', 'Activate');
           await showsStatus(page, 'pipeline', 'Active');
           await says(announcements(page), /pipeline/);
           await becomes(() => gateway.use(secret), 200);
         });

    test(`${owner}: the menu offers what the status allows`,
         async ({ gateway, open }) => {
           await gateway.create(owner, { name: 'menu' });

           const page = await open({ hash, as: gateway.root });
           const items = async () => {
             await openMenu(page, 'menu');
             const texts = await page.getByRole('menuitem').allTextContents();
             await page.keyboard.press('Escape');
             await gone(page.getByRole('menu'));
             return texts.map((t) => t.trim()).join();
           };

           assert.equal(await items(),
                        'Revoke Token,Rotate Token,Delete Token');
           await choose(page, 'menu', 'Revoke');
           await showsStatus(page, 'menu', 'Revoked');
           assert.equal(await items(), 'Activate Token,Delete Token');
         });

    test(`${owner}: the admin role is the one that the box names`,
         async ({ gateway, open }) => {
           const page = await open({ hash, as: gateway.root });
           const box = await fillIn(page, { name: 'boss' });
           const check = box.getByRole('checkbox', {
             name: `Admin of the ${level.toLowerCase()} ${owner}`,
           });

           assert.ok(!await check.isChecked());
           await check.check();
           await button(box, 'Create').click();
           const secret = await take(page, 'Access Token Created');
           const caller = await gateway.request('GET', '/api/caller',
                                                { token: secret });

           assert.equal(caller.json.roles[0].role,
                        `${level.toLowerCase()}_admin`);
           await says(cell(page, 'boss', 'Role'), `${level} admin`);

           const other = await open({ as: secret });
           await sees(table(other, owner), row(other, 'boss'));
         });

    test(`${owner}: rotated at once, the old secret ends`,
         async ({ gateway, open }) => {
           const page = await open({ hash, as: gateway.root });
           const { secret } = await make(page, gateway, owner, 'turn');

           await choose(page, 'turn', 'Rotate');
           const box = dialog(page, 'Rotate Token');
           await box.getByRole('combobox',
                               { name: 'The old secret stays valid for' })
             .selectOption('0');
           await button(box, 'Rotate').click();
           const next = await take(page, 'Access Token Rotated');

           assert.notEqual(next, secret);
           await becomes(() => gateway.use(next), 200);
           await becomes(() => gateway.use(secret), 401);
           await forgets(page, next);
         });

    test(`${owner}: rotated with grace, both secrets are good`,
         async ({ gateway, open }) => {
           const page = await open({ hash, as: gateway.root });
           const { secret } = await make(page, gateway, owner, 'grace');

           await choose(page, 'grace', 'Rotate');
           const box = dialog(page, 'Rotate Token');
           await box.getByRole('combobox').selectOption({ label: '1 hour' });
           await button(box, 'Rotate').click();
           const next = await take(page, 'Access Token Rotated');

           await becomes(() => gateway.use(next), 200);
           assert.equal(await gateway.use(secret), 200);
         });

    test(`${owner}: to rotate can be cancelled`,
         async ({ gateway, open }) => {
           await gateway.create(owner, { name: 'stays' });

           const page = await open({ hash, as: gateway.root });
           let posts = 0;

           page.on('request', (r) => { posts += r.method() === 'POST'; });
           await choose(page, 'stays', 'Rotate');
           await button(dialog(page, 'Rotate Token'), 'Cancel').click();
           await gone(dialog(page, 'Rotate Token'));
           await showsStatus(page, 'stays', 'Active');
           assert.equal(posts, 0);
         });

    test(`${owner}: deleted only when confirmed, and for good`,
         async ({ gateway, open }) => {
           const page = await open({ hash, as: gateway.root });
           const { secret, path } = await make(page, gateway, owner, 'doomed');
           const box = dialog(page, 'Delete Token');

           await choose(page, 'doomed', 'Delete');
           await says(box, /doomed/);
           await says(box, /can.t be undone/);
           await button(box, 'Cancel').click();
           await gone(box);
           await sees(row(page, 'doomed'));
           assert.equal(await gateway.use(secret), 200);

           await choose(page, 'doomed', 'Delete');
           await page.keyboard.press('Escape');
           await gone(box);
           assert.equal(await gateway.use(secret), 200);

           await choose(page, 'doomed', 'Delete');
           await button(box, 'Delete').click();
           await becomes(() => row(page, 'doomed').count(), 0);
           await says(announcements(page), /doomed.*deleted/);
           await becomes(() => gateway.use(secret), 401);
           await gateway.api('GET', path, undefined, 404);
         });
  }

  test('an expired token can be deleted only', async ({ gateway, open }) => {
    const { path, id } = await gateway.create('acme', { name: 'late' });
    const tag = id.slice(0, 4);

    gateway.redis('HSET', `at:t:{${tag}}:${id}`, 'e', '1700000000');

    const page = await open({ hash: LEVELS[0][1], as: gateway.root });

    await showsStatus(page, 'late', 'Expired');
    await openMenu(page, 'late');
    assert.deepEqual((await page.getByRole('menuitem').allTextContents())
      .map((t) => t.trim()), ['Delete Token']);
    await page.getByRole('menuitem').click();
    await button(page, 'Delete').click();
    await becomes(() => row(page, 'late').count(), 0);
    await gateway.api('GET', path, undefined, 404);
  });

  test('a click beside the menu closes it', async ({ gateway, open }) => {
    await gateway.create('acme', { name: 'beside' });

    const page = await open({ hash: LEVELS[0][1], as: gateway.root });

    await openMenu(page, 'beside');
    await page.mouse.click(5, 700);
    await gone(page.getByRole('menu'));
    await showsStatus(page, 'beside', 'Active');
  });

  test('an admin may revoke the own token, is warned, and is out then',
       async ({ gateway, open }) => {
         const boss = await gateway.create('acme', { name: 'myself',
                                                     admin: true });
         const page = await open({ as: boss.token });
         const box = dialog(page, 'Revoke Token');

         await choose(page, 'myself', 'Revoke');
         await says(box, /sign in again/);
         await button(box, 'Cancel').click();
         await gone(box);
         assert.equal(await gateway.use(boss.token), 200);
         page.watch.mayAnswer(401);
         await choose(page, 'myself', 'Revoke');
         await button(box, 'Revoke').click();
         await becomes(() => gateway.use(boss.token), 401);
         await says(announcements(page), /myself.*was revoked/);
         await button(page, 'Refresh').click();
         await sees(heading(page, 'Sign in'));
       });
});
