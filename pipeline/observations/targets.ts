import { isIpLiteral } from '../reference/ip-literal.ts';

/** Tests with rows that have a target id, by the probed service (observations.md section 11). */
export type Platform = 'telegram' | 'whatsapp' | 'signal' | 'facebook_messenger';

/** Host names and their target ids. Old and new names of a service share an id, so that a time series continues after a rename. */
const HOSTS: Record<Platform, ReadonlyMap<string, string>> = {
  telegram: new Map([['web.telegram.org', 'telegram/web']]),
  whatsapp: new Map([
    ['v.whatsapp.net', 'whatsapp/registration'],
    ['web.whatsapp.com', 'whatsapp/web'],
  ]),
  signal: new Map([
    ['chat.signal.org', 'signal/chat'],
    ['textsecure-service.whispersystems.org', 'signal/chat'],
    ['cdsi.signal.org', 'signal/directory'],
    ['api.directory.signal.org', 'signal/directory'],
    ['sfu.voip.signal.org', 'signal/sfu'],
    ['storage.signal.org', 'signal/storage'],
    ['uptime.signal.org', 'signal/uptime'],
  ]),
  facebook_messenger: new Map([
    ['star.c10r.facebook.com', 'facebook_messenger/star'],
    ['b-api.facebook.com', 'facebook_messenger/b_api'],
    ['b-graph.facebook.com', 'facebook_messenger/b_graph'],
    ['edge-mqtt.facebook.com', 'facebook_messenger/edge'],
    ['external.xx.fbcdn.net', 'facebook_messenger/external_cdn'],
    ['scontent.xx.fbcdn.net', 'facebook_messenger/scontent_cdn'],
    ['stun.fbsbx.com', 'facebook_messenger/stun'],
  ]),
};

/** Returns the target id of a row from its host name, otherwise from its address; null if the service is unknown. */
export function targetId(platform: Platform, hostname: string | null, ip: string | null): string | null {
  const candidate = hostname || ip;
  if (!candidate) return null;
  const exact = HOSTS[platform].get(candidate);
  if (exact !== undefined) return exact;
  if (platform === 'whatsapp' && /^e\d+\.whatsapp\.net$/.test(candidate)) return 'whatsapp/endpoints';
  if (platform === 'signal' && /^cdn\d*\.signal\.org$/.test(candidate)) return 'signal/cdn';
  // Telegram's data centres are probed by address, and the set of addresses changes over time.
  if (platform === 'telegram' && isIpLiteral(candidate)) return 'telegram/dc_pool';
  return null;
}
