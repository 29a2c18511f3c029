'use strict';

/* Two tabs, or two people, at the same tokens. */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const {
  alert, announcements, becomes, button, choose, create, dialog, gone,
  remove, row, says, sees, showsStatus, status, take,
} = require('./lib/steps.js');

const HASH = '#/organizations/acme/access-tokens';

/* A tab is turned to before something is done in it. */

async function inTab(page) {
  await page.bringToFront();
  return page;
}

async function two(gateway, open, name) {
  const made = await gateway.create('acme', { name });
  const one = await open({ hash: HASH, as: gateway.root });
  const other = await open({ hash: HASH, as: gateway.root, beside: one });

  await showsStatus(one, name, 'Active');
  await showsStatus(other, name, 'Active');
  return { one, other, made };
}

async function deleted(page, name) {
  await remove(page, name);
  await says(announcements(page), new RegExp(`${name}.*deleted`));
  await becomes(() => row(page, name).count(), 0);
}

story({}, (test) => {
  test('revoked in one, the other cannot rotate, is told why, and sees it',
       async ({ gateway, open }) => {
         const { one, other } = await two(gateway, open, 'contested');

         await choose(await inTab(one), 'contested', 'Revoke');
         await showsStatus(one, 'contested', 'Revoked');

         other.watch.expect(409, /rotate$/);
         await choose(await inTab(other), 'contested', 'Rotate');
         const box = dialog(other, 'Rotate Token');
         await button(box, 'Rotate').click();
         await says(alert(box), /revoked/);
         await button(box, 'Cancel').click();
         await gone(box);
         await showsStatus(other, 'contested', 'Revoked');
         await becomes(() => status(other, 'contested')
           .evaluate((e) => e === document.activeElement), true);
       });

  test('revoked in one, the other may revoke as well',
       async ({ gateway, open }) => {
         const { one, other, made } = await two(gateway, open, 'twice');

         await choose(await inTab(one), 'twice', 'Revoke');
         await showsStatus(one, 'twice', 'Revoked');
         await choose(await inTab(other), 'twice', 'Revoke');
         await showsStatus(other, 'twice', 'Revoked');
         await says(announcements(other), /twice.*revoked/);
         assert.equal((await gateway.api('GET', made.path)).status, 'revoked');
       });

  test('deleted in one, its row goes in the other at the next change',
       async ({ gateway, open }) => {
         const { one, other } = await two(gateway, open, 'vanished');

         await deleted(await inTab(one), 'vanished');
         other.watch.expect(404, /revoke$/);
         await choose(await inTab(other), 'vanished', 'Revoke');
         await becomes(() => row(other, 'vanished').count(), 0);
         await says(announcements(other), /vanished/);
       });

  test('deleted in one, to delete it in the other is no error',
       async ({ gateway, open }) => {
         const { one, other } = await two(gateway, open, 'both');

         await deleted(await inTab(one), 'both');
         other.watch.expect(404, /access-tokens\/\w+$/);
         await deleted(await inTab(other), 'both');
       });

  test('deleted in one, to rotate it in the other tells so',
       async ({ gateway, open }) => {
         const { one, other } = await two(gateway, open, 'rotating');

         await deleted(await inTab(one), 'rotating');
         other.watch.expect(404, /rotate$/);
         await choose(await inTab(other), 'rotating', 'Rotate');
         const box = dialog(other, 'Rotate Token');
         await button(box, 'Rotate').click();
         await says(alert(box), /\w/);
         await says(announcements(other), /rotating.*deleted before/);
         await button(box, 'Cancel').click();
         await gone(box);
         await becomes(() => row(other, 'rotating').count(), 0);
       });

  test('expired meanwhile, it cannot be activated, and the row says so',
       async ({ gateway, open }) => {
         const { one, other, made } = await two(gateway, open, 'overtaken');

         await choose(await inTab(one), 'overtaken', 'Revoke');
         await showsStatus(one, 'overtaken', 'Revoked');
         await button(await inTab(other), 'Refresh').click();
         await showsStatus(other, 'overtaken', 'Revoked');
         gateway.redis('HSET', `at:t:{${made.id.slice(0, 4)}}:${made.id}`,
                       'e', '1700000000');
         other.watch.expect(409, /activate$/);
         await choose(await inTab(other), 'overtaken', 'Activate');
         await showsStatus(other, 'overtaken', 'Expired');
         await says(row(other, 'overtaken').getByRole('alert'), /\w/);
       });

  test('rotated in both, only the last secret counts',
       async ({ gateway, open }) => {
         const { one, other, made } = await two(gateway, open, 'turned');
         const turn = async (page) => {
           await choose(page, 'turned', 'Rotate');
           await button(dialog(page, 'Rotate Token'), 'Rotate').click();
           return take(page, 'Access Token Rotated');
         };
         const first = await turn(await inTab(one));
         const last = await turn(await inTab(other));

         await becomes(() => gateway.use(last), 200);
         await becomes(() => gateway.use(first), 401);
         assert.equal(await gateway.use(made.token), 401);
       });

  test('what one creates, the other sees after Refresh, but no secret',
       async ({ gateway, open }) => {
         const { one, other } = await two(gateway, open, 'watched');
         const secret = await create(await inTab(one), { name: 'brand new' });

         await button(await inTab(other), 'Refresh').click();
         await sees(row(other, 'brand new'));
         assert.ok(!(await other.content()).includes(secret));
       });

  test('signing out in one tab leaves the other signed in',
       async ({ gateway, open }) => {
         const { one, other } = await two(gateway, open, 'apart');

         await button(await inTab(one), 'Sign out').click();
         await sees(one.getByRole('heading', { name: 'Sign in' }));
         await button(await inTab(other), 'Refresh').click();
         await sees(row(other, 'apart'));
       });

  test('a new tab of the same browser has to sign in for itself',
       async ({ gateway, open }) => {
         const one = await open({ hash: HASH, as: gateway.root,
                                  remember: true });
         const other = await open({ hash: HASH, beside: one });

         await sees(other.getByRole('heading', { name: 'Sign in' }));
       });
});
