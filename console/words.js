/*
 * How times, roles and states are told to people.
 */

export const ROLES = {
  organization_admin: 'Organization admin',
  organization_user: 'Organization user',
  group_admin: 'Group admin',
  group_user: 'Group user',
};

export const STATUS = {
  active: 'Active',
  revoked: 'Revoked',
  expired: 'Expired',
};

export const DAY = 86400000;            /* ms */

const UNITS = [                         /* from so many of ms on */
  ['year', 730 * DAY, 365.25 * DAY],
  ['month', 100 * DAY, 30.44 * DAY],
  ['day', DAY, DAY],
  ['hour', 3600000, 3600000],
  ['minute', 60000, 60000],
];

const relative = new Intl.RelativeTimeFormat('en');

/* "31 January 2027 at 01:00:00 CET" */
export const exactTime = new Intl.DateTimeFormat(undefined, {
  dateStyle: 'long', timeStyle: 'long',
}).format;

/* "in 29 days", "2 hours ago" */
export function relativeTime(time) {
  const distance = time - Date.now();
  const [unit, , length] = UNITS.find(([, from]) =>
    Math.abs(distance) >= from) || [];

  if (unit) {
    return relative.format(Math.round(distance / length), unit);
  }
  return distance < 0 ? 'just now' : 'in less than a minute';
}

/* "1 token", "2 tokens" */
export function counted(n, noun) {
  return `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`;
}
