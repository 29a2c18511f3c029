'use strict';

/*
 * The tests of one file: they share a gateway and a browser, and each opens
 * pages of its own.
 *
 *     story({}, (test) => {
 *       test('root sees the organizations', async ({ open, gateway }) => {
 *         const page = await open({ as: gateway.root });
 *         await sees(heading(page, 'Organizations'));
 *       });
 *     });
 *
 * Options: those of Gateway; errors: what nginx may log as an error; before:
 * makes what several tests need, and is given the gateway.  A test may restart
 * the gateway with others; the next one has those of the story again.
 * open() takes those of Browser.open, and as: a credential to sign in with.
 *
 * TAP goes to stdout, what is needed to understand a failure to stderr, and a
 * picture of it into build/console.  ONLY="part of a name" runs some of them,
 * TIMES=1 tells how long each takes.
 */

const fs = require('node:fs');
const path = require('node:path');
const { Browser } = require('./browser.js');
const { Gateway, root, stopAll } = require('./gateway.js');
const { signIn } = require('./steps.js');

const TEST_SECONDS = 120;

/* It ends the process: a child that is still there would keep it. */

function story(options, define) {
  const tests = [];

  define((name, run) => tests.push({ name, run }));
  runAll(options, tests).catch((error) => {
    console.error(indent(error.stack));
    return 1;
  }).then((failed) => process.exit(failed ? 1 : 0));
}

async function runAll(options, tests) {
  const file = path.basename(process.argv[1], '.test.js');
  const wanted = process.env.ONLY
    ? tests.filter((t) => t.name.includes(process.env.ONLY)) : tests;
  let gateway = null, browser = null, failed = 0, count = 0;

  const report = (name, error) => {
    count++;
    console.log(`${error ? 'not ok' : 'ok'} ${count} - `
                + name.replace(/#/g, '\\#'));
    if (error) {
      failed++;
      console.error(`#   Failed: ${name}\n${indent(error.stack || error)}`);
    }
  };

  console.log(`1..${wanted.length + 1}`);

  try {
    gateway = await Gateway.start(options);
    browser = await Browser.start();
    await options.before?.(gateway);

    for (const [i, test] of wanted.entries()) {
      report(test.name,
             await runOne(test, gateway, browser, `failed-${file}-${i + 1}`));
      if (!gateway.runs(options)) {
        await gateway.restart(options);
      }
    }
  } catch (error) {
    console.error(indent(error.stack));
    console.log(`Bail out!  ${error.message.split('\n')[0]}`);
    failed++;
  }

  await browser?.stop();

  const logged = (await gateway?.stop() ?? [])
    .filter((line) => !(options.errors ?? []).some((e) => e.test(line)));

  await stopAll();

  report('nginx logged no error', logged.join('\n') || null);

  return failed;
}

async function runOne(test, gateway, browser, name) {
  const began = Date.now();
  const pages = [];

  const open = async (options = {}) => {
    const page = await browser.open(gateway, options);

    pages.push(page);
    if (options.as) {
      await signIn(page, options.as, options);
    }
    return page;
  };

  let error = null;

  try {
    await within(TEST_SECONDS, test.run({ gateway, browser, open }));

    const complaints = pages.flatMap((page) => page.watch.complaints());
    if (complaints.length > 0) {
      throw new Error(`the browser complains:\n${complaints.join('\n')}`);
    }
  } catch (e) {
    error = await describe(e, pages, name);
  }

  await browser.closePages();
  if (process.env.TIMES) {
    console.error(`# ${Date.now() - began} ms: ${test.name}`);
  }

  return error;
}

function within(seconds, promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not done in ${seconds} s`)),
                       seconds * 1000);
  });

  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/* The step that failed, and each page as it was then. */

async function describe(error, pages, name) {
  const dir = path.join(root, 'build', 'console');
  const lines = [error.stack];

  fs.mkdirSync(dir, { recursive: true });

  for (const [i, page] of pages.entries()) {
    const picture = path.join(dir, `${name}${i ? `-page${i + 1}` : ''}.png`);

    lines.push(`page ${i + 1}: ${page.url()}, picture: ${
      await page.screenshot({ path: picture, timeout: 5000 })
        .then(() => picture, (e) => `none: ${e.message}`)}`);
    lines.push(...page.watch.seen.map((line) => `  ${line}`));
  }

  return lines.join('\n');
}

function indent(text) {
  return String(text).replace(/^/gm, '#     ');
}

module.exports = { story };
