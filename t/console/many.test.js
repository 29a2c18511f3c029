'use strict';

/*
 * A group with 100,000 tokens.  The page has to take what a person does all the
 * time: no task of its own may hold it up for long.
 */

const assert = require('node:assert/strict');
const { story } = require('./lib/story.js');
const {
  becomes, button, count, drawn, gone, hold, names, row, says, search, sees,
  status,
} = require('./lib/steps.js');

const HASH = '#/organizations/acme/groups/many/access-tokens';
const NEXT = '**/access-tokens?*cursor=*';      /* pages but the first one */
const MANY = 100000;
const BLOCKED_MS = 2000;        /* 80 ms on a machine at rest */

/*
 * Copies a record that the API has made, under ids that are older, so what the
 * API makes stands before them.
 */

const COPY = `
  local record = redis.call('HGETALL', KEYS[1])
  local tag = ARGV[1]:sub(1, 4)
  for i = tonumber(ARGV[2]), tonumber(ARGV[3]) do
    local id = tag .. ('%016d'):format(i)
    for f = 1, #record, 2 do
      if record[f] == 'n' then
        record[f + 1] = i == tonumber(ARGV[4]) and 'needle' or 'token ' .. i
      end
    end
    redis.call('HSET', 'at:t:{' .. tag .. '}:' .. id, unpack(record))
    redis.call('ZADD', 'at:i:{' .. tag .. '}:acme/many', 0, id)
    redis.call('ZADD', 'at:u:{' .. tag .. '}', 0, id)
  end`;

async function fill(gateway) {
  const { id } = await gateway.create('acme/many', { name: 'the first' });

  for (let i = 1; i < MANY; i += 2000) {
    gateway.redis('EVAL', COPY, '1', `at:t:{${id.slice(0, 4)}}:${id}`, id,
                  String(i), String(Math.min(i + 1999, MANY - 1)), '7');
  }
}

/* From here on the longest time in which the page did nothing for anybody. */

const watchTasks = () => {
  window.longest = 0;
  new PerformanceObserver((entries) => {
    for (const { duration } of entries.getEntries()) {
      window.longest = Math.max(window.longest, duration);
    }
  }).observe({ type: 'longtask' });
};

const longest = (page) => page.evaluate(() => window.longest);

story({ before: fill }, (test) => {
  test('the first page of 100,000 tokens comes, and more after it',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root,
                                   init: watchTasks });

         await sees(row(page, 'the first'));
         for (let shown = 50; shown < 500; shown += 50) {
           await says(count(page), `${shown} tokens shown, there are more`);
           await button(page, 'Load more').click();
         }
         await says(count(page), '500 tokens shown, there are more');
         assert.equal(await names(page).count(), 500);
         assert.ok(await longest(page) < BLOCKED_MS,
                   `held up for ${await longest(page)} ms`);
       });

  test('a rare name is found, and one can type meanwhile',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root,
                                   init: watchTasks });

         await sees(row(page, 'the first'));
         const held = await hold(page, NEXT);
         await search(page).fill('NEEDLE');
         await page.keyboard.press('Enter');
         await held.come();
         await sees(page.getByText('Searching…'), button(page, 'Stop'));
         await search(page).press('End');
         await search(page).pressSequentially('xyz');
         assert.equal(await search(page).inputValue(), 'NEEDLExyz');
         await search(page).fill('NEEDLE');
         held.release();
         await status(page, 'needle').waitFor({ timeout: 40000 });
         await becomes(() => button(page, 'Stop').count(), 0, 20);
         await becomes(() => names(page).count(), 1);
         assert.ok(await longest(page) < BLOCKED_MS,
                   `held up for ${await longest(page)} ms`);
       });

  test('a search that takes too long is stopped, and may go on',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });

         await sees(row(page, 'the first'));
         const held = await hold(page, NEXT);
         await search(page).fill('no such name anywhere');
         await page.keyboard.press('Enter');
         await held.come();
         await sees(page.getByText('Searching…'));
         await button(page, 'Stop').click();
         await gone(button(page, 'Stop'));
         held.release();

         let asked = 0;
         page.on('request', () => asked++);
         await drawn(page);
         const before = asked;
         await button(page, 'Load more').click();
         await becomes(() => asked > before, true);
       });

  test('leaving the page ends the search', async ({ gateway, open }) => {
    const page = await open({ as: gateway.root });

    await page.getByRole('link', { name: 'acme', exact: true }).click();
    const held = await hold(page, NEXT);
    await page.evaluate((hash) => { location.hash = hash; },
                        `${HASH}?search=nowhere`);
    await held.come();
    await sees(page.getByText('Searching…'));
    await page.goBack();
    held.release();
    await gone(page.getByText('Searching…'));
    await sees(page.getByRole('heading', { name: 'acme', exact: true }));

    let late = 0;
    page.on('request', (r) => { late += r.url().includes('nowhere'); });
    await button(page, 'Refresh').click();
    await sees(page.getByText('No access tokens yet'));
    assert.equal(late, 0);
  });

  test('a change in the middle of a long list keeps its place',
       async ({ gateway, open }) => {
         const page = await open({ hash: HASH, as: gateway.root });

         await sees(row(page, 'the first'));
         await button(page, 'Load more').click();
         await says(count(page), '100 tokens shown, there are more');
         const name = `token ${MANY - 70}`;
         await status(page, name).click();
         await page.getByRole('menuitem', { name: 'Revoke Token' }).click();
         await sees(button(page, `Revoked, actions for ${name}`));
         await becomes(() => status(page, name)
           .evaluate((e) => e === document.activeElement), true);
         assert.equal(await names(page).count(), 100);
         const box = await status(page, name).boundingBox();
         assert.ok(box.y > 0 && box.y < 760, 'the row is still in sight');
       });
});
