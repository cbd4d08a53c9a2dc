# Sourced by record.sh. Two namespaces joined by one veth pair; neither has a way out, so a packet
# that is not for the lab has nowhere to go. Touches only $CLIENT, $INTERNET and their /etc/netns.

network_is_free() {
  ! ip netns list | grep -qE "^($CLIENT|$INTERNET)( |$)" && [ ! -e "/etc/netns/$CLIENT" ]
}

make_network() {
  local client="ip -n $CLIENT" internet="ip -n $INTERNET" address
  NETWORK_MADE=1
  [ -d /etc/netns ] || { mkdir -m 755 /etc/netns; NETNS_DIR_MADE=1; }
  mkdir -m 755 "/etc/netns/$CLIENT"
  install -m 644 <(echo "nameserver 192.0.2.53") "/etc/netns/$CLIENT/resolv.conf"
  install -m 644 <(printf '127.0.0.1 localhost\n::1 localhost\n') "/etc/netns/$CLIENT/hosts"
  install -m 644 <(echo "hosts: files dns") "/etc/netns/$CLIENT/nsswitch.conf"
  ip netns add "$CLIENT"
  ip netns add "$INTERNET"
  quiet_ipv6 "$CLIENT"
  quiet_ipv6 "$INTERNET"
  $client link add "$CLIENT_IF" address 00:00:5e:00:53:10 type veth peer name uplink address 00:00:5e:00:53:01 netns "$INTERNET"
  $client link set lo up
  $internet link set lo up
  # Segments and checksums as they would be on a wire, not as the veth driver passes them on.
  ip netns exec "$CLIENT" ethtool -K "$CLIENT_IF" tx off gro off tso off gso off >/dev/null 2>&1
  ip netns exec "$INTERNET" ethtool -K uplink tx off gro off tso off gso off >/dev/null 2>&1
  $internet addr add 192.0.2.1/24 dev uplink
  $internet addr add 192.0.2.53/24 dev uplink
  $internet addr add 2001:db8:1::1/64 dev uplink nodad
  $internet link set uplink up
  for address in $(node -e '
    import(process.argv[1]).then(({ZONE}) => { for (const {a, aaaa} of Object.values(ZONE)) console.log(a + "/32", aaaa ? aaaa + "/128" : ""); });
  ' "$LAB/server/names.mjs"); do
    case $address in *:*) $internet addr add "$address" dev lo nodad ;; *) $internet addr add "$address" dev lo ;; esac
  done
  $client addr add 192.0.2.10/24 dev "$CLIENT_IF"
  $client addr add 2001:db8:1::10/64 dev "$CLIENT_IF" nodad
  $client link set "$CLIENT_IF" up
  $client route add default via 192.0.2.1
  $client -6 route add default via 2001:db8:1::1
}

quiet_ipv6() {   # no router solicitations, no link-local addresses made from the MAC
  ip netns exec "$1" sysctl -qw net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.addr_gen_mode=1 \
    net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.mldv2_unsolicited_report_interval=0
}

remove_network() {
  [ -n "${NETWORK_MADE:-}" ] || return 0
  NETWORK_MADE=""
  local ns pid
  for ns in "$CLIENT" "$INTERNET"; do
    for pid in $(ip netns pids "$ns" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
    ip netns del "$ns" 2>/dev/null || true
  done
  rm -rf "/etc/netns/${CLIENT:?}"
  if [ -n "${NETNS_DIR_MADE:-}" ]; then rmdir /etc/netns 2>/dev/null || true; NETNS_DIR_MADE=""; fi
}
