// The one table of the lab: who answers at which address. Addresses are documentation ranges
// (RFC 5737, RFC 3849), names are under .test (RFC 6761): nothing here exists outside the lab.
export const ZONE = {
  'chat.aster.test': { a: '203.0.113.10', aaaa: '2001:db8:10::10' },
  'api.aster.test': { a: '203.0.113.20' },
  'telemetry.metrica.test': { a: '198.51.100.30', aaaa: '2001:db8:30::30' },
  'fp.shieldprint.test': { a: '198.51.100.40' },
  'widget.helpdesk.test': { a: '198.51.100.50' },
  'updates.browser.test': { a: '198.51.100.200' },
  'news.tidings.test': { a: '198.51.100.210', aaaa: '2001:db8:210::210' },
};
export const RESOLVER = '192.0.2.53';
export const CLIENT_V4 = '192.0.2.10';

export function addressesOf(name) {
  const { a, aaaa } = ZONE[name];
  return aaaa ? [a, aaaa] : [a];
}
