/** Privileges that workers need on their database. */
export const NEEDED_PRIVILEGES = ['SELECT', 'INSERT', 'ALTER', 'CREATE', 'DROP', 'OPTIMIZE'] as const;

/**
 * Returns the needed privileges that the lines of SHOW GRANTS do not give on a database. Undefined when the lines alone do not show it: the
 * user has roles, or only a part of a privilege (such as ALTER DELETE), or a privilege was revoked again.
 */
export function missingPrivileges(grants: readonly string[], database: string): string[] | undefined {
  const given = new Set<string>();
  let hasRoles = false;
  for (const grant of grants) {
    if (grant.startsWith('REVOKE ')) return undefined;
    const [, privileges, scope] = /^GRANT (.+) ON (\S+) TO /.exec(grant) ?? [];
    if (privileges === undefined || scope === undefined) {
      hasRoles ||= grant.startsWith('GRANT ');
      continue;
    }
    const isHere = scope === '*.*' || scope.replaceAll('`', '') === `${database}.*`;
    if (isHere) for (const privilege of privileges.split(', ')) given.add(privilege);
  }
  const missing = given.has('ALL') ? [] : NEEDED_PRIVILEGES.filter(privilege => !given.has(privilege));
  const hasPart = missing.some(privilege => [...given].some(one => new RegExp(`^${privilege}[ (]`).test(one)));
  return missing.length > 0 && (hasRoles || hasPart) ? undefined : missing;
}
