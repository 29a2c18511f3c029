'use strict';

/*
 * Chromium, and what it has to say about a page: errors and warnings of its
 * console, errors of scripts, requests that failed or went elsewhere, breaches
 * of the Content-Security-Policy.  A page that a test has opened may say
 * nothing of this but what the test allows.
 */

const { chromium } = require('playwright-core');

/* Names below .localhost are this machine, and there is no other. */

const FLAGS = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
  '--disable-background-networking', '--disable-component-update',
  '--disable-lcd-text',
  '--host-resolver-rules=MAP *.localhost 127.0.0.1, MAP * ~NOTFOUND',
];

class Browser {
  static async start() {
    const browser = new Browser();

    browser.chromium = await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      headless: true,
      chromiumSandbox: process.getuid() !== 0,
      args: FLAGS,
    });
    browser.contexts = [];
    return browser;
  }

  /*
   * Opens the console.  hash: the place in it; person: of identity.localhost;
   * beside: a page whose tab gets a neighbour; expect: what Watch.expect takes;
   * init: a script; the rest is Playwright's, of a context.
   */

  async open(gateway, { hash = '', person, beside, expect, init, as, remember,
                        ...settings } = {}) {
    const host = person ? 'identity' : 'gateway';
    const context = beside ? beside.context() : await this.chromium.newContext({
      locale: 'en-GB',
      timezoneId: 'Europe/Berlin',
      viewport: { width: 1200, height: 760 },
      permissions: ['clipboard-read', 'clipboard-write'],
      reducedMotion: 'reduce',
      ...settings,
    });

    if (!beside) {
      this.contexts.push(context);
      context.setDefaultTimeout(15000);
      await context.addInitScript(() => {
        addEventListener('securitypolicyviolation', (e) => console.error(
          `CSP: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
      });
      if (init) {
        await context.addInitScript(init);
      }
      if (person) {
        await context.addCookies([{ name: 'person', value: person, path: '/',
                                    domain: `${host}.localhost` }]);
      }
    }

    const page = await context.newPage();

    page.watch = new Watch(page, new URL(gateway.url('', host)).origin);
    if (!person) {
      page.watch.mayAnswer(401, /\/api\/caller$/);
    }
    if (expect) {
      page.watch.expect(...expect);
    }
    await page.goto(gateway.url(hash, host));

    return page;
  }

  async closePages() {
    await Promise.all(this.contexts.splice(0).map((c) => c.close()));
  }

  async stop() {
    await this.chromium.close();
  }
}


class Watch {
  constructor(page, origin) {
    this.seen = [];
    this.rules = [];

    const say = (line, status, url) => {
      this.seen.push(line);

      const rule = this.rules.find((r) => r.status === status
                                          && r.path.test(pathOf(url)));
      if (rule) {
        rule.met = true;
      } else {
        this.bad.push(line);
      }
    };

    this.bad = [];

    page.on('console', (message) => {
      const text = message.text();
      const { url } = message.location();
      const [, status] = /^Failed to load resource: .*?(\d{3}|net::\w+)/
        .exec(text) ?? [];

      if (['error', 'warning'].includes(message.type())) {
        say(`${message.type()}: ${text} (${url})`,
            Number(status) || status, url);
      }
    });

    page.on('pageerror', (error) => say(`script error: ${error.stack}`));

    page.on('request', (request) => {
      if (!request.url().startsWith(`${origin}/`)) {
        say(`request to another place: ${request.url()}`);
      }
    });

    /* An aborted request is one that the page itself has given up. */

    page.on('requestfailed', (request) => {
      const { errorText } = request.failure();

      if (errorText !== 'net::ERR_ABORTED') {
        say(`request failed: ${request.url()}: ${errorText}`, errorText,
            request.url());
      }
    });
  }

  /*
   * Chromium logs each answer that is an error.  expect: one with this status
   * (or net::ERR_…), of a path that fits, has to come; mayAnswer: may.
   */

  expect(status, path = /./) {
    this.rules.unshift({ status, path, met: false });
  }

  mayAnswer(status, path = /./) {
    this.rules.push({ status, path, met: true });
  }

  complaints() {
    return [...this.bad,
            ...this.rules.filter((r) => !r.met)
              .map((r) => `no answer was ${r.status} of ${r.path}`)];
  }
}

function pathOf(url) {
  try {
    return new URL(url).pathname;
  } catch {
    return String(url);
  }
}

module.exports = { Browser };
