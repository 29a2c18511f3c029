'use strict';

/* Signing in and out: with a credential, or by the gateway's identity. */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const {
  alert, at, becomes, button, choose, create, credential, drawn, forgets,
  heading, link, list, remember, row, says, sees, showsStatus, signIn,
  table, titled,
} = require('./lib/steps.js');

const ORGANIZATION = '#/organizations/acme/access-tokens';
const GROUP = '#/organizations/acme/groups/dev/access-tokens';

const storage = (page) => page.evaluate(() => ({
  session: { ...sessionStorage }, local: { ...localStorage },
}));

async function before(gateway) {
  for (const owner of ['acme', 'acme/dev', 'zenith/web']) {
    await gateway.create(owner);
  }
}

story({ before }, (test) => {
  test('root signs in and sees the organizations',
       async ({ gateway, open }) => {
         const page = await open();
         const organizations = list(page, 'Organizations');

         await sees(heading(page, 'Sign in'));
         await titled(page, 'Sign in');
         await signIn(page, gateway.root);
         await sees(heading(page, 'Organizations'),
                    organizations.getByRole('link', { name: 'acme' }),
                    organizations.getByRole('link', { name: 'zenith' }));
         await at(page, '#/organizations');
         await says(page.locator('#caller'), /root/);
       });

  test('an organization admin gets to the organization',
       async ({ gateway, open }) => {
         const admin = await gateway.create('acme', { name: 'boss',
                                                      admin: true });
         const page = await open({ as: admin.token });

         await sees(heading(page, 'acme'), table(page, 'acme'));
         await at(page, ORGANIZATION);
         await says(page.locator('#caller'), new RegExp(admin.id));
       });

  test('a group admin gets to the group', async ({ gateway, open }) => {
    const admin = await gateway.create('acme/dev', { admin: true });
    const page = await open({ as: admin.token });

    await sees(heading(page, 'dev'), table(page, 'acme/dev'));
    await at(page, GROUP);
  });

  test('a wrong credential is refused, and the next may be right',
       async ({ gateway, open }) => {
         const page = await open();

         await credential(page).fill('root_wrong');
         await button(page, 'Sign in').click();
         await says(alert(page), /not accepted/);
         await signIn(page, gateway.root);
         await sees(heading(page, 'Organizations'));
       });

  for (const [what, owner] of [['an organization', 'acme'],
                               ['a group', 'acme/dev']]) {
    test(`a token of ${what} without admin role is told that it has none`,
         async ({ gateway, open }) => {
           const { token } = await gateway.create(owner);
           const page = await open();

           await credential(page).fill(token);
           await button(page, 'Sign in').click();
           await says(alert(page), /no admin rights/);
           await says(alert(page), new RegExp(`user.*${owner}`, 'is'));
           await sees(heading(page, 'Sign in'));
         });
  }

  test('an empty field is not sent', async ({ open }) => {
    const page = await open();
    let asked = 0;

    await sees(heading(page, 'Sign in'));
    page.on('request', () => asked++);
    await button(page, 'Sign in').click();
    assert.ok(await credential(page).evaluate((e) => e.matches(':invalid')));
    assert.ok(await credential(page).evaluate((e) => e.matches(':focus')));
    assert.equal(asked, 0);
  });

  test('what cannot be sent in a header is refused as a credential',
       async ({ open }) => {
         const page = await open();

         await credential(page).fill('tökén – 🔑');
         await button(page, 'Sign in').click();
         await says(alert(page), /no token/);
       });

  test('an unreachable gateway is told', async ({ open }) => {
    const page = await open();

    await sees(heading(page, 'Sign in'));
    page.watch.expect('net::ERR_FAILED', /\/api\/caller$/);
    await page.route('**/api/caller', (route) => route.abort('failed'),
                     { times: 1 });
    await credential(page).fill('x');
    await button(page, 'Sign in').click();
    await says(alert(page), /cannot be reached/);
  });

  test('ticked, it survives a reload, in the session storage alone',
       async ({ gateway, open }) => {
         const page = await open({ as: gateway.root, remember: true });

         await sees(heading(page, 'Organizations'));
         await page.reload();
         await sees(heading(page, 'Organizations'));
         assert.ok(JSON.stringify((await storage(page)).session)
           .includes(gateway.root));
         assert.deepEqual((await storage(page)).local, {});
         assert.ok(!page.url().includes(gateway.root));
       });

  test('not ticked, a reload asks again, at the same place',
       async ({ gateway, open }) => {
         const page = await open({ hash: ORGANIZATION, as: gateway.root });

         await sees(table(page, 'acme'));
         await forgets(page, gateway.root);
         await page.reload();
         await sees(heading(page, 'Sign in'));
         await at(page, ORGANIZATION);
         assert.deepEqual(await storage(page), { session: {}, local: {} });
         await signIn(page, gateway.root);
         await sees(table(page, 'acme'));
       });

  test('the credential is in no URL, and in the header of requests alone',
       async ({ gateway, open }) => {
         const page = await open();
         const urls = [], headers = [];

         page.on('request', (request) => {
           urls.push(request.url());
           headers.push(request.headers().authorization);
         });
         await signIn(page, gateway.root);
         await sees(heading(page, 'Organizations'));
         assert.ok(headers.includes(`Bearer ${gateway.root}`));
         assert.ok(!urls.join().includes(gateway.root));
       });

  test('signing out forgets', async ({ gateway, open }) => {
    const page = await open({ as: gateway.root, remember: true });

    await link(page, 'acme').click();
    await sees(table(page, 'acme'));
    await button(page, 'Sign out').click();
    await sees(heading(page, 'Sign in'));
    assert.equal(await credential(page).inputValue(), '');
    assert.ok(!(await remember(page).isChecked()), 'nothing is ticked');
    await forgets(page, gateway.root);
    await page.reload();
    await sees(heading(page, 'Sign in'));
    await page.goBack();
    await at(page, '#/organizations');
    await drawn(page);
    await sees(heading(page, 'Sign in'));
    assert.equal(await heading(page, 'Organizations').count(), 0);
  });

  test('a trusted identity need not sign in, and makes changes',
       async ({ gateway, open }) => {
         const { token } = await gateway.create('acme', { name: 'old one' });
         const page = await open({ person: 'olga' });

         await at(page, ORGANIZATION);
         await says(page.locator('#caller'), /olga/);
         await sees(row(page, 'old one'), button(page, 'Use a token'));
         assert.equal(await button(page, 'Sign out').count(), 0);
         await choose(page, 'old one', 'Revoke');
         await showsStatus(page, 'old one', 'Revoked');
         await becomes(() => gateway.use(token), 401);
         await choose(page, 'old one', 'Delete');
         await button(page, 'Delete').click();
         await becomes(() => row(page, 'old one').count(), 0);
         const secret = await create(page, { name: 'by olga' });
         await becomes(() => gateway.use(secret), 200);
       });

  test('an admin of several groups sees these and no others',
       async ({ gateway, open }) => {
         for (const owner of ['acme/dev', 'acme/ops', 'acme/secret',
                              'zenith/web']) {
           await gateway.create(owner, { name: `of ${owner}` });
         }

         const page = await open({ person: 'gunnar' });

         await at(page, '#/organizations');
         await link(page, 'acme').click();
         await at(page, '#/organizations/acme/groups');
         await sees(list(page, 'Groups of acme'));
         const groups = list(page, 'Groups of acme').getByRole('link');
         await becomes(async () => (await groups.allTextContents()).join(),
                       'dev,ops');
         await groups.first().click();
         await sees(row(page, 'of acme/dev'));
         await choose(page, 'of acme/dev', 'Revoke');
         await showsStatus(page, 'of acme/dev', 'Revoked');
       });

  test('an identity without admin role is told so', async ({ open }) => {
    const page = await open({ person: 'ute' });

    await sees(alert(page).filter({ hasText: /no admin rights/ }).first());
  });

  test('an identity may use a token instead, and comes back by a reload',
       async ({ gateway, open }) => {
         const page = await open({ person: 'gina' });

         await sees(table(page, 'acme/dev'));
         await button(page, 'Use a token').click();
         await sees(heading(page, 'Sign in'));
         await signIn(page, gateway.root);
         await says(page.locator('#caller'), /root/);
         await button(page, 'Sign out').click();
         await sees(heading(page, 'Sign in'));
         await page.reload();
         await sees(table(page, 'acme/dev'), button(page, 'Use a token'));
         await says(page.locator('#caller'), /gina/);
       });
});
