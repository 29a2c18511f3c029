'use strict';

/*
 * The files as they are served: their headers, and what they load.  What is in
 * them, tools/check-console looks at.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { story } = require('./lib/story.js');
const { root } = require('./lib/gateway.js');
const { heading, sees } = require('./lib/steps.js');

const dir = path.join(root, 'console');
const files = (below = '') => fs.readdirSync(path.join(dir, below),
                                             { withFileTypes: true })
  .flatMap((entry) => entry.isDirectory()
    ? files(path.join(below, entry.name)) : path.join(below, entry.name));

const TYPES = {
  '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
};

story({ errors: [/nothing\.js/] }, (test) => {
  test('each file is served with its type and the headers that guard it',
       async ({ gateway }) => {
         for (const file of files()) {
           const { status, headers } =
             await gateway.request('GET', `/console/${file}`);

           assert.equal(status, 200, file);
           assert.equal(headers['content-type'].split(';')[0],
                        TYPES[path.extname(file)], file);
           assert.equal(headers['x-content-type-options'], 'nosniff', file);
           assert.match(headers['content-security-policy'],
                        /^default-src 'none'/, file);
           assert.match(headers['content-security-policy'],
                        /frame-ancestors 'none'/, file);
           assert.doesNotMatch(headers['content-security-policy'],
                               /unsafe|\*|https?:/, file);
         }
       });

  test('what is not there is guarded as well', async ({ gateway }) => {
    const { status, headers } =
      await gateway.request('GET', '/console/nothing.js');

    assert.equal(status, 404);
    assert.match(headers['content-security-policy'], /^default-src 'none'/);
  });

  test('the policy holds: neither inline script nor inline style runs',
       async ({ gateway, open }) => {
         const page = await open();
         const { headers, text } = await gateway.request('GET', '/console/');

         await page.route('**/console/', (route) => route.fulfill({
           headers, body: text.replace('</head>', `
             <style>h1 { display: none }</style>
             <script>window.hasRun = true</script></head>`),
         }), { times: 1 });
         await page.reload();
         await sees(heading(page, 'Sign in'));
         assert.equal(await page.locator('head script:not([src])').count(), 1);
         assert.ok(!await page.evaluate(() => 'hasRun' in window));
         for (const kind of ['script', 'style']) {
           assert.ok(page.watch.bad.some((line) =>
             line.includes(`CSP: ${kind}-src-elem inline`)), kind);
         }
         assert.equal(await page.evaluate(() => {
           try {
             document.body.innerHTML = '<b>x</b>';
             return '';
           } catch (e) {
             return e.name;
           }
         }), 'TypeError', 'no HTML is taken');
         page.watch.bad.splice(0);     /* this is what was asked for */
       });

  test('nothing but the files of the console and the API is asked for',
       async ({ open }) => {
         const page = await open();
         const asked = [];

         page.on('request', (r) => asked.push(new URL(r.url()).pathname));
         await page.reload();
         await sees(heading(page, 'Sign in'));

         const known = new Set(files().map((file) => `/console/${file}`));
         for (const url of asked) {
           assert.ok(url === '/console/' || known.has(url)
                     || url.startsWith('/api/'), url);
         }
         assert.ok(asked.includes('/console/app.js'));
       });
});
