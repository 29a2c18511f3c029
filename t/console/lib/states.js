'use strict';

/*
 * Every page, state and dialog of the console, for those who look at them all:
 * axe and the camera.  show(page, gateway) leads there from any page of a
 * session of root's; in OWN, of one of acme's token "myself".
 */

const { inDays } = require('./gateway.js');
const {
  alert, button, choose, dialog, field, fillIn, gone, heading, hold, list,
  openMenu, row, says, sees, table,
} = require('./steps.js');

const ACME = '#/organizations/acme/access-tokens';
const DEV = '#/organizations/acme/groups/dev/access-tokens';

/* A gateway that has been in use for some time. */

async function furnish(gateway) {
  const now = Math.floor(Date.now() / 1000);
  const DAY = 86400;

  const make = async (owner, name, { expires = 200, age = 40, used, revoked,
                                     by, ...members } = {}) => {
    const made = await gateway.create(owner, {
      name, expires_at: inDays(Math.max(expires, 1)), ...members });
    const tag = made.id.slice(0, 4);
    const key = `at:t:{${tag}}:${made.id}`;

    if (revoked) {
      await gateway.api('POST', `${made.path}/revoke`);
    }
    gateway.redis('HSET', key, 'c', String(now - age * DAY),
                  ...by ? ['b', by] : [],
                  ...expires < 0 ? ['e', String(now + expires * DAY)] : []);
    if (used !== undefined) {
      gateway.redis('ZADD', `at:u:{${tag}}`, String(now - used), made.id);
    }
    return made;
  };

  const alice = { by: 'user:alice@example.com' };

  await make('acme', 'old importer', { expires: -9, age: 374, used: 30 * DAY });
  await make('acme', 'partner feed', { expires: 12, age: 353, used: 7200,
                                       ...alice });
  await make('acme', 'laptop of a colleague', { age: 120, used: 90 * DAY,
                                                revoked: true, ...alice });
  await make('acme', 'nightly report', {
    age: 61, used: 9 * 3600, description: 'reads usage, sends mail',
  });
  await make('acme', 'platform team', { admin: true, age: 45, used: 300 });
  await make('acme', 'billing sync', { age: 8, expires: 357, used: 60 });
  await make('acme/dev', 'load test', { expires: 25, age: 6, used: 3 * DAY,
                                        ...alice });
  await make('acme/dev', 'deploy pipeline', { expires: 80, age: 5, used: 240,
                                              description: 'of the web shop' });
  await make('acme/dev', 'team lead', { admin: true, age: 2 });
  for (const group of ['data', 'ops', 'support']) {
    await make(`acme/${group}`, 'a token');
  }
  for (const owner of ['globex', 'initech', 'umbrella/lab']) {
    await make(owner, 'a token');
  }
}

const go = (page, hash) =>
  page.evaluate((h) => { location.hash = h; }, hash);

const tokens = async (page, hash = ACME, owner = 'acme') => {
  await go(page, hash);
  await sees(table(page, owner), page.getByRole('rowheader').first());
};

/* Answers the next request that fits with a problem. */

async function refuse(page, urls, status, detail) {
  page.watch.mayAnswer(status);
  await page.route(urls, (route) => route.fulfill({
    status, contentType: 'application/problem+json',
    body: JSON.stringify({ title: 'x', status, detail }),
  }), { times: 1 });
}

const STATES = {
  'organizations': async (page) => {
    await go(page, '#/organizations');
    await sees(list(page, 'Organizations').getByRole('link').first());
  },

  'groups': async (page) => {
    await go(page, '#/organizations/acme/groups');
    await sees(list(page, 'Groups of acme').getByRole('link').first());
  },

  'organization': (page) => tokens(page),

  'group': (page) => tokens(page, DEV, 'acme/dev'),

  'no tokens': async (page) => {
    await go(page, '#/organizations/nobody/access-tokens');
    await sees(page.getByText('No access tokens yet'));
  },

  'no match': async (page) => {
    await go(page, `${ACME}?search=nothing+like+it`);
    await sees(page.getByText('No access token matches'));
  },

  'not found': async (page) => {
    await go(page, '#/nowhere');
    await sees(heading(page, 'Not found'));
  },

  'unavailable': async (page) => {
    await refuse(page, '**/groups?*', 503, 'Redis cannot answer');
    await go(page, '#/organizations/acme/groups');
    await sees(heading(page, 'Temporarily unavailable'));
  },

  'menu': async (page) => {
    await tokens(page);
    await openMenu(page, 'billing sync');
  },

  'refused change': async (page) => {
    await tokens(page);
    await refuse(page, '**/revoke', 503, 'Redis cannot answer');
    await openMenu(page, 'billing sync');
    await page.getByRole('menuitem', { name: 'Revoke Token' }).click();
    await says(alert(row(page, 'billing sync')), /Redis/);
  },

  'create': async (page) => {
    await tokens(page, DEV, 'acme/dev');
    const box = await fillIn(page, { name: 'release pipeline', days: 90 });
    await field(box, 'Token Name').focus();
  },

  'create refused': async (page) => {
    await tokens(page);
    const box = await fillIn(page, { name: 'x'.repeat(101) });
    page.watch.mayAnswer(422);
    await button(box, 'Create').click();
    await sees(box.locator('[aria-invalid=true]'));
  },

  'created': async (page, gateway) => {
    await tokens(page, DEV, 'acme/dev');
    const box = await fillIn(page, { name: 'release pipeline', days: 90 });

    /* The same secret in every picture, and none that is one. */
    await page.route('**/access-tokens', async (route) => {
      const made = await gateway.create('acme/dev',
                                        route.request().postDataJSON());

      await gateway.api('DELETE', made.path, undefined, 204);
      await route.fulfill({ status: 201, json: { ...made,
        token: 'at_3kTa0Vy2Qf1ZpX9bLw7cThisIsAnExampleAndNotASecret0000000000',
      } });
    }, { times: 1 });
    await button(box, 'Create').click();
    await sees(dialog(page, 'Access Token Created'));
  },

  'leave without copying': async (page, gateway) => {
    await STATES.created(page, gateway);
    await button(page, 'Done').click();
    await sees(button(page, 'Leave without copying'));
  },

  'rotate': async (page) => {
    await tokens(page);
    await choose(page, 'billing sync', 'Rotate');
    await sees(dialog(page, 'Rotate Token'));
  },

  'rotated': async (page) => {
    await STATES.rotate(page);
    await button(dialog(page, 'Rotate Token'), 'Rotate').click();
    await sees(dialog(page, 'Access Token Rotated'));
  },

  'delete': async (page) => {
    await tokens(page);
    await choose(page, 'laptop of a colleague', 'Delete');
    await sees(dialog(page, 'Delete Token'));
  },

  /* A page without a match, and one that does not come until it is left. */
  'searching': async (page) => {
    await tokens(page);
    const held = await hold(page, '**/access-tokens?*search=rare*');
    await page.route('**/access-tokens?*search=rare*', (route) =>
      route.fulfill({ json: { access_tokens: [], next_cursor: 'next' } }),
    { times: 1 });
    await go(page, '#/organizations');
    await sees(heading(page, 'Organizations'));
    await go(page, `${ACME}?search=rare`);
    await held.come();
    await sees(page.getByText('Searching…'), button(page, 'Stop'));
  },
};

const OWN = {
  'signed in with it': async (page) => {
    await tokens(page);
    await sees(row(page, 'myself').getByText('Signed in with it'));
  },

  ...Object.fromEntries(['Revoke', 'Rotate', 'Delete'].map((verb) =>
    [`${verb} of the own token`, async (page) => {
      await tokens(page);
      await choose(page, 'myself', verb);
      await says(dialog(page, `${verb} Token`), /have to sign in again/);
    }])),

  'no rights': async (page) => {
    page.watch.mayAnswer(403, /globex/);
    await go(page, '#/organizations/globex/access-tokens');
    await sees(heading(page, 'No rights here'));
  },
};

/* Out of a search, a menu or a dialog, whatever it asks. */

async function leave(page) {
  if (await button(page, 'Stop').isVisible()) {
    await button(page, 'Stop').click();
  }
  for (let i = 0; i < 3; i++) {
    if (await button(page, 'Leave without copying').isVisible()) {
      await button(page, 'Leave without copying').click();
    } else if (await page.getByRole('dialog').or(page.getByRole('menu'))
      .first().isVisible()) {
      await page.keyboard.press('Escape');
    }
  }
  await gone(page.getByRole('dialog'), page.getByRole('menu'));
}

module.exports = { OWN, STATES, furnish, leave };
