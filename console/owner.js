/*
 * Organizations and groups: {organization, group}, group being null or absent
 * at organization level; and what a caller may do with them.
 */

/* As the API has it, for a regular expression and an input's pattern. */
export const ID = '[A-Za-z0-9_\\-][A-Za-z0-9._\\-]{0,63}';

export function ownerName({ organization, group }) {
  return group ? `${organization}/${group}` : organization;
}

/* "organizations/acme/groups/dev", and below it; of the API and of pages. */
export function ownerPath({ organization, group }, ...rest) {
  return ['organizations', organization, ...group ? ['groups', group] : [],
          ...rest].join('/');
}

export function ownerLink(...path) {
  return `#/${ownerPath(...path)}`;
}

export function adminRoles(caller) {
  return caller.roles.filter(({ role }) => role.endsWith('_admin'));
}

export function isAdmin(caller, { organization, group }) {
  return caller.kind === 'root' || adminRoles(caller).some((grant) =>
    grant.organization === organization
    && (!grant.group || grant.group === group));
}

/* The tabs of its page that a caller may see. */
export function tabsOf(caller, owner) {
  return [...owner.group ? [] : ['groups'],
          ...owner.group || isAdmin(caller, owner) ? ['access-tokens'] : []];
}

/* Where a caller wants to be first. */
export function home(caller) {
  const owners = adminRoles(caller);

  return caller.kind !== 'root' && owners.length === 1
    ? ownerLink(owners[0], 'access-tokens') : '#/organizations';
}
