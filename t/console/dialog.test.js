'use strict';

/* The dialog that creates a token: its fields, and the secret it shows once. */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const {
  alert, at, becomes, button, clipboard, create, dialog, field, fillIn,
  forgets, gone, heading, row, says, sees, traces,
} = require('./lib/steps.js');

const HASH = '#/organizations/acme/access-tokens';
const GROUP = '#/organizations/acme/groups/dev/access-tokens';

const LEVELS = [['acme', HASH], ['acme/dev', GROUP]];

const day = (now, days) =>
  new Date(now + days * 86400e3).toISOString().slice(0, 10);

/* The dialog just after a token was created in it, and the secret. */

async function created(page, name) {
  const box = await fillIn(page, { name });
  await button(box, 'Create').click();
  const shown = field(dialog(page, 'Access Token Created'), 'Access token');
  await sees(shown);

  return { box: dialog(page, 'Access Token Created'),
           secret: await shown.inputValue() };
}

async function isInvalid(locator) {
  return locator.evaluate((e) => e.matches(':invalid')
                                 || e.getAttribute('aria-invalid') === 'true');
}

async function describedBy(page, locator) {
  const ids = (await locator.getAttribute('aria-describedby') ?? '').split(' ')
    .filter(Boolean);

  return (await Promise.all(ids.map((id) =>
    page.locator(`[id="${id}"]`).textContent()))).join(' ');
}

story({}, (test) => {
  test('the secret is shown once and then nowhere',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const { box, secret } = await created(page, 'once');

         assert.match(secret, /^at_[0-9A-Za-z]{58}$/);
         await says(box, /can.t be seen again/);
         assert.ok((await traces(page)).includes(secret),
                   'where it is shown, it is found');
         await button(box, 'Copy Token').click();
         await sees(button(box, 'Copied'));
         assert.equal(await clipboard(page), secret);
         await button(box, 'Done').click();
         await gone(box);
         await sees(row(page, 'once'));
         await forgets(page, secret);
         await page.reload();
         await forgets(page, secret);
       });

  test('the secret is copied by hand, too: it is all selected on focus',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const { box, secret } = await created(page, 'by hand');
         const shown = field(box, 'Access token');

         assert.equal(await shown.evaluate((e) => e.readOnly), true);
         await shown.click();
         await page.keyboard.press('Control+a');
         await page.keyboard.press('Control+c');
         assert.equal(await clipboard(page), secret);
       });

  test('a part of the secret that is copied by hand is not it',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const { box, secret } = await created(page, 'in part');
         const shown = field(box, 'Access token');

         for (const [from, to] of [[0, 60], [1, 61]]) {
           await shown.focus();
           await shown.evaluate((e, range) => e.setSelectionRange(...range),
                                [from, to]);
           await page.keyboard.press('Control+c');
           assert.equal(await clipboard(page), secret.slice(from, to));
           await sees(box.getByText(/copy the whole of it/));
           await page.keyboard.press('Escape');
           await says(alert(box), /has not been copied/);
           await button(box, 'Go back').click();
         }
         await button(box, 'Copy Token').click();
         await button(box, 'Done').click();
         await gone(box);
       });

  for (const [how, leave, hash, place = hash] of [
    ['Done', (page, box) => button(box, 'Done').click(), HASH],
    ['Done in a group', (page, box) => button(box, 'Done').click(), GROUP],
    ['Escape', (page) => page.keyboard.press('Escape'), HASH],
    ['Back', (page) => page.goBack(), HASH, '#/organizations'],
    ['Back in a group', (page) => page.goBack(), GROUP, '#/organizations'],
  ]) {
    test(`${how} without having copied asks first`,
         async ({ gateway, open }) => {
           const page = await open({ as: gateway.root });

           await sees(heading(page, 'Organizations'));
           await page.evaluate((h) => { location.hash = h; }, hash);
           await at(page, hash);
           const { box, secret } = await created(page, `left by ${how}`);

           await leave(page, box);
           await says(alert(box), /has not been copied/);
           await button(page, 'Go back').click();
           assert.equal(await field(box, 'Access token').inputValue(), secret);

           await button(box, 'Done').click();
           await says(alert(box), /has not been copied/);
           await button(page, 'Leave without copying').click();
           await gone(box);
           await at(page, place);
           await forgets(page, secret);
         });
  }

  test('Escape many times does not lose the secret',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const { box, secret } = await created(page, 'insistent');

         for (let i = 0; i < 6; i++) {
           await page.keyboard.press('Escape');
         }
         await sees(alert(box).filter({ hasText: 'has not been copied' }));
         await button(page, 'Go back').click();
         assert.equal(await field(box, 'Access token').inputValue(), secret);
       });

  test('a link followed while the secret is shown asks first',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const { box, secret } = await created(page, 'elsewhere');

         await page.evaluate((hash) => { location.hash = hash; }, GROUP);
         await sees(alert(box).filter({ hasText: 'has not been copied' }));
         await button(page, 'Go back').click();
         assert.equal(await field(box, 'Access token').inputValue(), secret);
       });

  test('closing the tab before the secret was copied asks',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const { box } = await created(page, 'closing');
         const asked = page.waitForEvent('dialog');

         page.close({ runBeforeUnload: true });
         const question = await asked;

         assert.equal(question.type(), 'beforeunload');
         await question.dismiss();
         await button(box, 'Copy Token').click();
         await sees(button(box, 'Copied'));
       });

  test('without the clipboard of today there is that of old',
       async ({ gateway, open }) => {
         const page = await open({
           hash: HASH, as: gateway.root,
           init: () => {
             navigator.clipboard.writeText = () => Promise.reject(new Error());
           },
         });
         const { box, secret } = await created(page, 'clipboard of old');

         await button(box, 'Copy Token').click();
         await sees(button(box, 'Copied'));
         assert.equal(await clipboard(page), secret);
       });

  test('without any clipboard the secret is selected, to be copied by hand',
       async ({ gateway, open }) => {
         const page = await open({
           hash: HASH, as: gateway.root,
           init: () => {
             navigator.clipboard.writeText = () => Promise.reject(new Error());
             document.execCommand = () => false;
           },
         });
         const { box, secret } = await created(page, 'no clipboard');

         await button(box, 'Copy Token').click();
         await sees(box.getByText(/copy .* by hand/));
         await becomes(() => page.evaluate(() => {
           const e = document.activeElement;
           return e.value?.slice(e.selectionStart, e.selectionEnd);
         }), secret);
         assert.equal(await button(box, 'Copied').count(), 0);
         await page.keyboard.press('Control+c');
         await sees(button(box, 'Copied'));
         assert.equal(await clipboard(page), secret);
       });

  test('what was typed into a cancelled dialog is forgotten',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });

         await button(await fillIn(page, { name: 'not me', admin: true }),
                      'Cancel').click();
         await gone(dialog(page, 'Create Access Token'));
         await becomes(() => button(page, 'Create Access Token')
           .evaluate((e) => e === document.activeElement), true);
         await button(page, 'Create Access Token').click();
         const box = dialog(page, 'Create Access Token');
         assert.equal(await field(box, 'Token Name').inputValue(), '');
         assert.ok(!await box.getByRole('checkbox').isChecked());
         await page.keyboard.press('Escape');
         await gone(box);
       });

  test('a second token is not the first one', async ({ gateway, open }) => {
    const page = await open({ hash: HASH, as: gateway.root });
    const first = await create(page, { name: 'first' });
    const second = await create(page, { name: 'second' });

    assert.notEqual(first, second);
    await sees(row(page, 'first'), row(page, 'second'));
  });

  test('an impatient double click makes one token',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const box = await fillIn(page, { name: 'impatient' });
         let posts = 0;

         page.on('request', (r) => { posts += r.method() === 'POST'; });
         await button(box, 'Create').dblclick();
         await sees(field(dialog(page, 'Access Token Created'),
                          'Access token'));
         assert.equal(posts, 1);
         await button(page, 'Copy Token').click();
         await button(page, 'Done').click();
       });

  test('a name is required, and only spaces are none',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const box = await fillIn(page, { name: '' });
         const name = field(box, 'Token Name');
         let posts = 0;

         page.on('request', (r) => { posts += r.method() === 'POST'; });
         await button(box, 'Create').click();
         assert.ok(await isInvalid(name));
         assert.equal(posts, 0);
         page.watch.mayAnswer(422);
         await name.fill('   ');
         await button(box, 'Create').click();
         await becomes(() => isInvalid(name), true);
         await name.fill('a name');
         await button(box, 'Create').click();
         await sees(dialog(page, 'Access Token Created'));
       });

  test('dates beyond the maximum lifetime and before tomorrow are refused',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const now = Date.now();         /* the page's, too, at midnight UTC */

         await page.clock.setFixedTime(now);
         const box = await fillIn(page, { name: 'dates' });
         const date = box.getByLabel('Expiration Date');
         let posts = 0;

         page.on('request', (r) => { posts += r.method() === 'POST'; });
         for (const bad of ['', day(now, 400), day(now, -1), day(now, 0)]) {
           await date.fill(bad);
           await button(box, 'Create').click();
           assert.ok(await isInvalid(date), `"${bad}" is refused`);
         }
         assert.equal(posts, 0);
         await date.fill(day(now, 2));
         await button(box, 'Create').click();
         await sees(dialog(page, 'Access Token Created'));
       });

  for (const [owner, hash] of LEVELS) {
    test(`${owner}: the presets are accepted by the API`,
         async ({ gateway, open }) => {
           const page = await open({ hash, as: gateway.root });

           for (const days of [30, 90, 365]) {
             const name = `preset ${days}`;

             await create(page, { name, days });
             const { access_tokens: [token] } = await gateway.api('GET',
               `${hash.slice(1)}?search=${encodeURIComponent(name)}`);
             const lives = (Date.parse(token.expires_at) - Date.now())
                           / 86400e3;

             assert.ok(lives <= 365 && Math.abs(lives - days) <= 1.01,
                       `${lives} days`);
           }
         });
  }

  for (const zone of ['Pacific/Kiritimati', 'Pacific/Pago_Pago']) {
    test(`in ${zone}, bounds and presets are good ones`,
         async ({ gateway, open }) => {
           const page = await open({ hash: HASH, as: gateway.root,
                                     timezoneId: zone });

           for (const days of [30, 365]) {
             await create(page, { name: `${zone} ${days}`, days });
           }
           await button(page, 'Create Access Token').click();
           const date = page.getByLabel('Expiration Date');

           for (const bound of ['min', 'max']) {
             await date.fill(await date.getAttribute(bound));
             await field(page, 'Token Name').fill(`${zone} ${bound}`);
             await button(page, 'Create').click();
             await sees(dialog(page, 'Access Token Created'));
             await button(page, 'Copy Token').click();
             await button(page, 'Done').click();
             await button(page, 'Create Access Token').click();
           }
           await button(page, 'Cancel').click();
         });
  }

  for (const [what, letter, hash] of [
    ['letters', 'x', HASH], ['emoji', '🔑', HASH],
    ['letters in a group', 'x', GROUP],
  ]) {
    test(`a name of 100 ${what} is accepted, one of 101 is told at the field`,
         async ({ gateway, open }) => {
           const page = await open({ hash, as: gateway.root });
           const box = await fillIn(page, { name: letter.repeat(101) });
           const name = field(box, 'Token Name');

           page.watch.mayAnswer(422);
           await button(box, 'Create').click();
           await becomes(() => name.getAttribute('aria-invalid'), 'true');
           await becomes(() => describedBy(page, name), /100/);
           assert.ok(await name.evaluate((e) => e === document.activeElement),
                     'the field with the error has the focus');
           await name.fill(letter.repeat(100));
           await button(box, 'Create').click();
           await sees(dialog(page, 'Access Token Created'));
         });
  }

  test('a description of 256 characters is told at the field',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const box = await fillIn(page, { name: 'wordy',
                                          description: 'é'.repeat(256) });
         const description = field(box, 'Description');

         page.watch.mayAnswer(422);
         await button(box, 'Create').click();
         await becomes(() => description.getAttribute('aria-invalid'), 'true');
         await becomes(() => describedBy(page, description), /255/);
         await description.fill('é'.repeat(255));
         await button(box, 'Create').click();
         await sees(dialog(page, 'Access Token Created'));
       });

  test('an expiry that the API refuses is told at the date',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const box = await fillIn(page, { name: 'late' });

         await gateway.restart({ http: 'access_token_max_lifetime 10d;' });
         page.watch.expect(422, /access-tokens$/);
         await button(box, 'Create').click();
         const date = box.getByLabel('Expiration Date');
         await becomes(() => date.getAttribute('aria-invalid'), 'true');
         await becomes(() => describedBy(page, date), /\w/);
         await gateway.restart();
         await button(box, 'Create').click();
         await sees(dialog(page, 'Access Token Created'));
       });

  test('presets above the maximum lifetime are not offered',
       async ({ gateway, open }) => {
         await gateway.restart({ http: 'access_token_max_lifetime 100d;' });

         const page = await open({ hash: HASH, as: gateway.root });

         await button(page, 'Create Access Token').click();
         await sees(button(page, '30 days'), button(page, '90 days'));
         assert.equal(await button(page, '365 days').count(), 0);
         assert.equal(await button(page, 'No expiration').count(), 0);
       });

  test('without a maximum lifetime a token may have no expiration',
       async ({ gateway, open }) => {
         await gateway.restart({ http: 'access_token_max_lifetime off;' });

         const page = await open({ hash: HASH, as: gateway.root });
         const box = await fillIn(page, { name: 'for ever' });

         await button(box, 'No expiration').click();
         await button(box, 'Create').click();
         await sees(dialog(page, 'Access Token Created'));
         await button(page, 'Copy Token').click();
         await button(page, 'Done').click();
         await says(row(page, 'for ever'), /Never/);

         const far = await fillIn(page, { name: 'far', date: '2199-12-31' });
         await button(far, 'Create').click();
         await sees(dialog(page, 'Access Token Created'));
       });

  test('when the API cannot create, the dialog stays and says why',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });
         const box = await fillIn(page, { name: 'in vain' });

         page.watch.expect(500, /access-tokens$/);
         page.watch.expect('net::ERR_FAILED', /access-tokens$/);
         await page.route('**/access-tokens', (route) => route.fulfill({
           status: 500, contentType: 'text/html',
           body: '<h1>500 Internal Server Error</h1><script>alert(1)</script>',
         }), { times: 1 });
         await button(box, 'Create').click();
         await sees(alert(box).first());
         assert.ok(!(await box.textContent()).includes('<h1>'));

         await page.route('**/access-tokens', (route) => route.abort('failed'),
                          { times: 1 });
         await button(box, 'Create').click();
         await says(alert(box), /reach|know|network|connection/i);

         assert.equal(await field(box, 'Token Name').inputValue(), 'in vain');
         await button(box, 'Create').click();
         await sees(dialog(page, 'Access Token Created'));
       });
});
