'use strict';

/*
 * Pictures of the main pages, in light and dark, into build/console; with
 * SCREENSHOTS=1 into docs/console, where docs/console.md shows them.
 */

const fs = require('node:fs');
const path = require('node:path');
const { story } = require('./lib/story.js');
const { root } = require('./lib/gateway.js');
const { smaller } = require('./lib/png.js');
const { STATES, furnish, leave } = require('./lib/states.js');
const { heading, sees } = require('./lib/steps.js');

const dir = path.join(root, process.env.SCREENSHOTS ? 'docs/console'
                                                    : 'build/console');

const PICTURES = ['organizations', 'organization', 'group', 'create', 'created',
                  'menu', 'delete'];

story({ before: furnish }, (test) => {
  for (const colorScheme of ['light', 'dark']) {
    test(`the main pages are pictured, ${colorScheme}`,
         async ({ gateway, open }) => {
           fs.mkdirSync(dir, { recursive: true });

           const page = await open({ as: gateway.root, colorScheme });
           const shoot = async (name) => fs.writeFileSync(
             path.join(dir, `${name}-${colorScheme}.png`),
             smaller(await page.screenshot({ animations: 'disabled' })));

           await sees(heading(page, 'Organizations'));
           for (const name of PICTURES) {
             await STATES[name](page, gateway);
             await page.mouse.move(600, 740);
             await shoot(name);
             await leave(page);
           }

           await page.setViewportSize({ width: 360, height: 740 });
           await STATES.group(page);
           await shoot('narrow');
         });
  }
});
