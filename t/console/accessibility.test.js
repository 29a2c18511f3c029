'use strict';

/*
 * axe finds nothing, on every page, state and dialog: in light and in dark,
 * wide and at 360 px.  And what a person has set is respected.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { story } = require('./lib/story.js');
const { OWN, STATES, furnish, leave } = require('./lib/states.js');
const {
  alert, button, credential, dialog, field, fillIn, fits, heading, names,
  says, sees, table,
} = require('./lib/steps.js');

const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa',
              'best-practice'];

const WINDOWS = {
  wide: { width: 1200, height: 760 },
  narrow: { width: 360, height: 740 },
};

/* What axe has to say of the page as it is, a line for each element. */

async function violations(page) {
  if (!await page.evaluate(() => 'axe' in window)) {
    await page.evaluate(AXE);
  }
  return page.evaluate(async (tags) => {
    const { violations: found } = await window.axe.run(document, {
      runOnly: tags, resultTypes: ['violations'],
    });

    return found.flatMap(({ id, help, nodes }) => nodes.map((node) =>
      `${id}: ${help}: ${node.target} ${node.failureSummary}`));
  }, TAGS);
}

/* What is seen and has text that does not fit into it. */

const cutOff = (page) => page.evaluate(() =>
  [...document.querySelectorAll('body *')].filter((e) =>
    e.checkVisibility() && !e.matches('.unseen, input, select, svg, svg *')
    && getComputedStyle(e).overflow !== 'visible'
    && (e.scrollWidth > e.clientWidth + 1
        || getComputedStyle(e).overflowY === 'hidden'
           && e.scrollHeight > e.clientHeight + 1))
    .map((e) => `${e.localName}.${e.className}: ${e.textContent}`));

/* The dialog, down to its button. */

async function showsAll(page) {
  await button(page, 'Create Access Token').click();

  const create = button(dialog(page, 'Create Access Token'), 'Create');

  await create.scrollIntoViewIfNeeded();
  assert.ok(await create.isVisible());
  assert.deepEqual(await cutOff(page), []);
}

/* In both windows, light and dark; show() leads to what is looked at. */

async function look(page, show, after = () => null) {
  for (const [what, viewport] of Object.entries(WINDOWS)) {
    await page.setViewportSize(viewport);
    await show();
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await violations(page), [], `${what}, ${colorScheme}`);
    }
    await fits(page);
    await after();
  }
}

const TOKENS = '#/organizations/acme/access-tokens';

story({ before: furnish }, (test) => {
  for (const [state, show] of Object.entries(STATES)) {
    test(`axe finds nothing: ${state}`, async ({ gateway, open }) => {
      const page = await open({ as: gateway.root });

      await look(page, () => show(page, gateway), () => leave(page));
    });
  }

  test('axe finds nothing: what is said of the own token',
       async ({ gateway, open }) => {
         const { path, token } = await gateway.create('acme', {
           name: 'myself', admin: true,
         });
         const page = await open({ as: token });

         for (const show of Object.values(OWN)) {
           await look(page, () => show(page, gateway), () => leave(page));
         }
         await gateway.api('DELETE', path, undefined, 204);
       });

  test('axe finds nothing: sign in, and what is refused there',
       async ({ gateway, open }) => {
         const page = await open();
         const { token } = await gateway.create('acme/dev');
         const refused = (secret, why) => async () => {
           await credential(page).fill(secret);
           await button(page, 'Sign in').click();
           await says(alert(page), why);
         };

         await look(page, () => sees(heading(page, 'Sign in')));
         await look(page, refused('wrong', /not accepted/));
         await look(page, refused(token, /no admin rights/));
       });

  test('axe finds nothing: a time to expire', async ({ gateway, open }) => {
    await gateway.restart({ http: 'access_token_max_lifetime 36h;' });

    const page = await open({ hash: TOKENS, as: gateway.root });

    await look(page, async () => {
      const box = await fillIn(page, { name: 'brief', date: '' });

      assert.equal(await box.getByLabel('Expiration Date')
        .getAttribute('type'), 'datetime-local');
      await button(box, 'Create').click();
    }, () => leave(page));
  });

  test('axe would find something', async ({ open }) => {
    const page = await open();

    await sees(heading(page, 'Sign in'));
    await page.evaluate(() => document.querySelector('main')
      .append(document.createElement('button')));
    assert.match(String(await violations(page)), /button-name/);
  });

  test('light and dark are different, and both are complete',
       async ({ gateway, open }) => {
         const page = await open({ as: gateway.root });

         /* Each colour of the style sheet, as it is computed. */
         const colors = async (colorScheme) => {
           await page.emulateMedia({ colorScheme });
           return page.evaluate(() => {
             const rules = [...document.styleSheets].flatMap((sheet) =>
               [...sheet.cssRules]);
             const { style } = rules.find((r) => r.selectorText === ':root');
             const probe = document.body.appendChild(
               document.createElement('p'));
             const found = [...style].filter((name) => name.startsWith('--'))
               .map((name) => {
                 probe.style.color = `var(${name})`;
                 return [name, getComputedStyle(probe).color];
               });

             probe.remove();
             return found;
           });
         };

         await sees(heading(page, 'Organizations'));
         const light = await colors('light');
         const dark = await colors('dark');

         assert.ok(light.length > 5);
         assert.deepEqual(dark.map(([name]) => name),
                          light.map(([name]) => name));
         assert.deepEqual(light.filter(([, color], i) => color === dark[i][1]),
                          [], 'what has no colour of its own for the dark');

         /* And there is no colour but these, and shadows. */
         const { text } = await gateway.request('GET', '/console/style.css');
         const others = text.replace(/^ *--[a-z]+: light-dark\(.*$/gm, '')
           .match(/#[\da-f]{3,8}\b|\b(rgb|hsl|oklch)a?\(/gi) ?? [];

         assert.deepEqual(others.filter((o) => !/^#000[\da-f]$/.test(o)), []);
       });

  test('where less motion is wanted, nothing moves',
       async ({ gateway, open }) => {
         const moving = (page) => page.evaluate(() =>
           [...document.querySelectorAll('*')].filter((e) => {
             const s = getComputedStyle(e);
             const long = (times) => times.split(',').some((t) =>
               parseFloat(t) > 0.02);

             return (s.animationName !== 'none' && long(s.animationDuration))
                    || long(s.transitionDuration)
                    || s.scrollBehavior === 'smooth';
           }).map((e) => e.localName));

         const page = await open({
           hash: TOKENS, as: gateway.root,
           reducedMotion: 'reduce',
         });

         await sees(table(page, 'acme'));
         await button(page, 'Create Access Token').click();
         await sees(dialog(page, 'Create Access Token'));
         assert.deepEqual(await moving(page), []);
       });

  test('at 200 %, all fits and nothing is cut off',
       async ({ gateway, open }) => {
         const page = await open({
           hash: TOKENS, as: gateway.root,
           viewport: { width: 640, height: 512 }, deviceScaleFactor: 2,
         });

         await sees(table(page, 'acme'), names(page).first());
         await fits(page);
         assert.deepEqual(await cutOff(page), []);
         await showsAll(page);
         await fits(page);
       });

  test('with the text alone twice as large, nothing is cut off',
       async ({ gateway, open }) => {
         const page = await open({ hash: TOKENS, as: gateway.root });
         const size = () => names(page).first().evaluate((e) =>
           parseFloat(getComputedStyle(e).fontSize));

         await sees(table(page, 'acme'), names(page).first());
         const before = await size();
         await page.evaluate(() => {
           const { fontSize } = getComputedStyle(document.documentElement);

           document.documentElement.style.fontSize =
             `${2 * parseFloat(fontSize)}px`;
         });
         assert.equal(await size(), 2 * before);
         assert.deepEqual(await cutOff(page), []);
         await showsAll(page);
       });

  test('in forced colours, what has the focus is still seen',
       async ({ gateway, open }) => {
         const page = await open({
           hash: TOKENS, as: gateway.root,
           forcedColors: 'active',
         });

         await sees(page.getByRole('rowheader').first());
         for (let i = 0; i < 12; i++) {
           await page.keyboard.press('Tab');
           assert.deepEqual(await page.evaluate(() => {
             const s = getComputedStyle(document.activeElement);

             return [s.outlineStyle !== 'none', parseFloat(s.outlineWidth) >= 1,
                     s.outlineColor !== getComputedStyle(document.body)
                       .backgroundColor];
           }), [true, true, true]);
         }
       });

  test('in forced colours, tabs and states are told apart',
       async ({ gateway, open }) => {
         const page = await open({
           hash: TOKENS, as: gateway.root,
           forcedColors: 'active',
         });

         await sees(page.getByRole('rowheader').first());
         assert.ok(await page.evaluate(() =>
           matchMedia('(forced-colors: active)').matches));

         /* A line below the current tab, and below no other. */
         const tabs = page.getByRole('navigation', { name: 'Tabs' });
         const lines = await tabs.getByRole('link').evaluateAll((links) =>
           links.map((e) => {
             const s = getComputedStyle(e);

             return [e.textContent, s.borderBottomStyle !== 'none'
               && parseFloat(s.borderBottomWidth) > 1
               && s.borderBottomColor !== getComputedStyle(document.body)
                 .backgroundColor];
           }));
         assert.deepEqual(lines, [['Groups', false], ['Access Tokens', true]]);

         /* A state in words, within a line. */
         const states = page.getByRole('button', { name: /, actions for / });
         const told = await states.evaluateAll((buttons) => buttons.map((e) => {
           const s = getComputedStyle(e);

           return [e.checkVisibility() && e.innerText.trim(),
                   s.borderTopStyle !== 'none'
                   && s.color !== s.backgroundColor];
         }));
         assert.deepEqual([...new Set(told.map(([text]) => text))].sort(),
                          ['Active', 'Expired', 'Revoked']);
         assert.ok(told.every(([, bordered]) => bordered));

         /* What is wrong with a field: in words. */
         await button(page, 'Create Access Token').click();
         const box = dialog(page, 'Create Access Token');
         await field(box, 'Token Name').fill('x'.repeat(101));
         page.watch.expect(422, /access-tokens$/);
         await button(box, 'Create').click();
         await sees(box.getByText(/100/).first());
       });

  test('pointers have targets of 24 px at least',
       async ({ gateway, open }) => {
         const page = await open({
           hash: TOKENS, as: gateway.root,
           viewport: { width: 360, height: 740 },
         });

         await sees(page.getByRole('rowheader').first());
         assert.deepEqual(await page.evaluate(() =>
           [...document.querySelectorAll('button, input, select')]
             .filter((e) => e.checkVisibility())
             .map((e) => [e.localName + (e.textContent || e.name),
                          e.getBoundingClientRect()])
             .filter(([, r]) => r.height < 24 || r.width < 24)
             .map(([name]) => name)), []);
       });
});
