'use strict';

/* When a new token is to expire: what is offered, refused, and sent. */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const { pause } = require('./lib/gateway.js');
const {
  button, create, dialog, field, fillIn, gone, sees, table, take,
} = require('./lib/steps.js');

const HASH = '#/organizations/acme/access-tokens';
const MINUTE = 60000;
const HOUR = 3600000;

const expiry = (page) => page.getByLabel('Expiration Date');
const isRefused = (input) => input.evaluate((e) => !e.validity.valid);

/* "2027-03-12T01:30", so long after it. */

const later = (local, ms) =>
  new Date(Date.parse(`${local}Z`) + ms).toISOString().slice(0, 16);

/* Waits for the next day, UTC, if it is not so many seconds away. */

async function sameDay(seconds) {
  const left = 24 * HOUR - Date.now() % (24 * HOUR);

  if (left < seconds * 1000) {
    await pause(left + 100);
  }
}

/* What the dialog offers at a time: the bounds, the value, the presets. */

async function offeredAt(page, time) {
  await page.clock.setFixedTime(new Date(time));
  await button(page, 'Create Access Token').click();

  const input = expiry(page);
  const offered = {
    min: await input.getAttribute('min'),
    max: await input.getAttribute('max'),
    value: await input.inputValue(),
    required: await input.evaluate((e) => e.required),
  };
  const presets = page.getByRole('dialog')
    .getByRole('button', { name: /^\d+ days$|^No expiration$/ });

  for (const preset of await presets.all()) {
    await preset.click();
    offered[await preset.textContent()] = await input.inputValue();
    assert.ok(!await isRefused(input));
  }
  await button(page, 'Cancel').click();
  await gone(page.getByRole('dialog'));
  return offered;
}

story({}, (test) => {
  for (const [lifetime, wanted] of [
    ['30d', {
      '2027-03-10T23:59:59.999Z': {
        min: '2027-03-11', max: '2027-04-09', value: '2027-04-09',
        required: true, '30 days': '2027-04-09',
      },
      '2027-03-11T00:00:00Z': {
        min: '2027-03-12', max: '2027-04-10', value: '2027-04-10',
        required: true, '30 days': '2027-04-10',
      },
    }],
    ['365d', {
      '2027-12-31T23:59:59.999Z': {
        min: '2028-01-01', max: '2028-12-30', value: '2028-03-30',
        required: true, '30 days': '2028-01-30', '90 days': '2028-03-30',
        '365 days': '2028-12-30',
      },
      '2028-01-01T00:00:00Z': {
        min: '2028-01-02', max: '2028-12-31', value: '2028-03-31',
        required: true, '30 days': '2028-01-31', '90 days': '2028-03-31',
        '365 days': '2028-12-31',
      },
    }],
    ['off', {
      '2028-02-28T23:59:59.999Z': {
        min: '2028-02-29', max: null, value: '2028-05-28', required: false,
        '30 days': '2028-03-29', '90 days': '2028-05-28',
        '365 days': '2029-02-27', 'No expiration': '',
      },
      '2028-02-29T00:00:00Z': {
        min: '2028-03-01', max: null, value: '2028-05-29', required: false,
        '30 days': '2028-03-30', '90 days': '2028-05-29',
        '365 days': '2029-02-28', 'No expiration': '',
      },
    }],
  ]) {
    test(`a maximum lifetime of ${lifetime}: what is offered at midnight UTC`,
         async ({ gateway, open }) => {
           await gateway.restart({
             http: `access_token_max_lifetime ${lifetime};`,
           });
           for (const timezoneId of ['Pacific/Kiritimati', 'Etc/GMT+12']) {
             const page = await open({ hash: HASH, as: gateway.root,
                                       timezoneId });

             await sees(table(page, 'acme').or(
               page.getByText('No access tokens yet')));
             for (const [time, offered] of Object.entries(wanted)) {
               assert.deepEqual(await offeredAt(page, time), offered,
                                `${time} in ${timezoneId}`);
             }
           }
         });
  }

  test('at the bounds of 30 days the API accepts, and nothing beyond is sent',
       async ({ gateway, open }) => {
         await gateway.restart({ http: 'access_token_max_lifetime 30d;' });
         await sameDay(30);

         const page = await open({ hash: HASH, as: gateway.root });
         const sent = [];

         page.on('request', (r) => {
           if (r.method() === 'POST') {
             sent.push(r.postDataJSON().expires_at);
           }
         });
         await button(page, 'Create Access Token').click();
         const [min, max] = await expiry(page).evaluate((e) => [e.min, e.max]);
         await button(page, 'Cancel').click();

         for (const [date, days] of [[min, -1], [max, 1]]) {
           const beyond = later(`${date}T00:00`, days * 24 * HOUR).slice(0, 10);
           const box = await fillIn(page, { name: date, date: beyond });

           assert.ok(await isRefused(expiry(page)), beyond);
           await button(box, 'Create').click();
           await expiry(page).fill(date);
           await button(box, 'Create').click();
           await take(page, 'Access Token Created');
         }
         assert.deepEqual(sent, [min, max]);
       });

  test('no expiration is sent as such', async ({ gateway, open }) => {
    await gateway.restart({ http: 'access_token_max_lifetime off;' });

    const page = await open({ hash: HASH, as: gateway.root });
    const box = await fillIn(page, { name: 'for good', date: '' });
    const request = page.waitForRequest((r) => r.method() === 'POST');

    await button(box, 'Create').click();
    assert.deepEqual((await request).postDataJSON(), {
      name: 'for good', description: '', expires_at: null, admin: false,
    });
    await take(page, 'Access Token Created');
  });

  /* The zone, and what is added to its time to get UTC. */

  for (const [timezoneId, toUtc] of [['Pacific/Kiritimati', -14],
                                     ['Etc/GMT+12', 12]]) {
    test(`36 hours at most: a time is asked for, in ${timezoneId}`,
         async ({ gateway, open }) => {
           await gateway.restart({ http: 'access_token_max_lifetime 36h;' });

           const page = await open({ hash: HASH, as: gateway.root,
                                     timezoneId });
           const utc = (local) => Date.parse(`${local}Z`) + toUtc * HOUR;
           const before = Date.now();

           await button(page, 'Create Access Token').click();
           const box = dialog(page, 'Create Access Token');
           const input = expiry(page);
           const [min, max] = await input.evaluate((e) => [e.min, e.max]);
           const now = Date.now();

           assert.equal(await input.getAttribute('type'), 'datetime-local');
           assert.equal(await input.inputValue(), max, 'the longest');
           assert.equal(await box.getByRole('button', { name: /days|No exp/ })
             .count(), 0);
           assert.ok(utc(min) > before && utc(min) <= now + MINUTE, min);
           assert.ok(utc(max) > before + 36 * HOUR - MINUTE
                     && utc(max) <= now + 36 * HOUR, max);

           const sent = [];
           page.on('request', (r) => {
             if (r.method() === 'POST') {
               sent.push(r.postDataJSON().expires_at);
             }
           });
           await field(box, 'Token Name').fill('soon');
           for (const beyond of ['', later(min, -MINUTE), later(max, MINUTE)]) {
             await input.fill(beyond);
             assert.ok(await isRefused(input), `"${beyond}" is refused`);
             await button(box, 'Create').click();
           }
           assert.equal(sent.length, 0);
           await input.fill(max);
           await button(box, 'Create').click();
           await take(page, 'Access Token Created');

           const middle = later(max, -12 * HOUR);
           await create(page, { name: 'later', date: middle });
           assert.deepEqual(sent.map((time) => Date.parse(time)),
                            [utc(max), utc(middle)]);
           assert.ok(sent.every((time) => time.endsWith('Z')), String(sent));

           const { access_tokens: tokens } = await gateway.api('GET',
             '/organizations/acme/access-tokens?limit=2');
           assert.deepEqual(tokens.map((t) => Date.parse(t.expires_at)),
                            [utc(middle), utc(max)]);
         });
  }

  for (const [lifetime, type] of [['1d', 'datetime-local'],
                                  ['47h', 'datetime-local'],
                                  ['48h', 'date']]) {
    test(`${lifetime} at most: ${type === 'date' ? 'a day' : 'a time'} will do`,
         async ({ gateway, open }) => {
           await gateway.restart({
             http: `access_token_max_lifetime ${lifetime};`,
           });

           const page = await open({ hash: HASH, as: gateway.root });

           await button(page, 'Create Access Token').click();
           const box = dialog(page, 'Create Access Token');
           assert.equal(await expiry(page).getAttribute('type'), type);
           await field(box, 'Token Name').fill(`at most ${lifetime}`);
           await button(box, 'Create').click();
           await take(page, 'Access Token Created');
         });
  }
});
