#!/usr/bin/env bash
# Re-records the SIMULATED Aster Chat example: headless Chromium and curl against a small internet
# made of two network namespaces. Needs root for the namespaces, and: ip, ethtool, openssl, zstd,
# node, chromium, curl, editcap, tshark, python3 (./dev setup --lab). Usage: record.sh [SCENARIO…]
set -euo pipefail
umask 077

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=${ASTER_OUT:-$(dirname "$LAB")}
CLIENT=aster-client INTERNET=aster-inet CLIENT_IF=aster0
COMMENT="SIMULATED: recorded from examples/aster/lab"
MAX_BYTES=$((700 * 1024))
# shellcheck source=netns.sh
. "$LAB/netns.sh"

fail() { echo "record.sh: $*" >&2; exit 1; }

check_needs() {
  [ "$(id -u)" = 0 ] || fail "needs root: it creates the network namespaces $CLIENT and $INTERNET (try: sudo $0)"
  local missing="" tool recorder=tcpdump
  [ -z "${VITRINE:-}" ] || recorder=$VITRINE
  for tool in "$recorder" ip ethtool openssl zstd node npm curl editcap tshark python3; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
  done
  [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || missing="$missing chromium"
  [ -z "$missing" ] || fail "missing:$missing (./dev setup --lab installs them)"
  if [ ! -d "$LAB/node_modules/playwright-core" ]; then
    npm install --prefix "$LAB" --no-package-lock --no-audit --no-fund --silent >&2
  fi
}

# A certificate authority that lives as long as the recording; Chromium trusts the leaf by its key
# hash, curl by the CA file. No private key ever leaves $WORK.
make_certificates() {
  local dir=$1 names="subjectAltName=DNS:*.aster.test,DNS:*.metrica.test,DNS:*.helpdesk.test,DNS:*.browser.test,DNS:*.tidings.test"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -keyout "$dir/ca.key" -out "$dir/ca.pem" \
    -subj "/O=SIMULATED/CN=Aster Lab CA" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/leaf.key" -out "$dir/leaf.csr" \
    -subj "/O=SIMULATED/CN=aster.test" 2>/dev/null
  openssl x509 -req -in "$dir/leaf.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 6 -out "$dir/leaf.pem" \
    -extfile <(printf '%s\n' "$names" "basicConstraints=CA:FALSE") 2>/dev/null
  cat "$dir/leaf.pem" "$dir/ca.pem" >"$dir/chain.pem"
  openssl pkey -in "$dir/leaf.key" -pubout -outform der 2>/dev/null | openssl dgst -sha256 -binary | base64 -w0 >"$dir/leaf.spki"
}

in_client() {   # a clean environment, so that nothing of this machine reaches a page
  ip netns exec "$CLIENT" env -i PATH="$PATH" HOME="$WORK/home" LANG=de_DE.UTF-8 TZ=Europe/Berlin \
    ${CHROMIUM:+CHROMIUM="$CHROMIUM"} ${SSLKEYLOGFILE:+SSLKEYLOGFILE="$SSLKEYLOGFILE"} "$@"
}

record_with_vitrine() {   # SCENARIO RAW AUDIT: the product records itself; mark_simulated.py drops its process notes
  in_client "$VITRINE" record -q -i "$CLIENT_IF" --linger 1 -o "$2" -- node "$LAB/client/main.mjs" "$1" "$WORK/files" "$3"
  [ -s "$3" ] || fail "the client of $1 failed"
}

record_with_tcpdump() {   # SCENARIO RAW AUDIT: the same with the classic tools
  local keys="$WORK/$1.keys" packets="$WORK/$1.pcap" dumper rc=0
  : >"$keys"
  ip netns exec "$CLIENT" tcpdump -i "$CLIENT_IF" -Z root -s 0 -B 16384 --immediate-mode --time-stamp-precision=nano -U -w "$packets" 2>"$WORK/tcpdump.log" &
  dumper=$!
  wait_for "$WORK/tcpdump.log" "listening on" "$dumper"
  SSLKEYLOGFILE="$keys" in_client node "$LAB/client/main.mjs" "$1" "$WORK/files" "$3" || rc=$?
  sleep 0.5
  kill -INT "$dumper"
  wait "$dumper" || true
  grep -q "^0 packets dropped" "$WORK/tcpdump.log" || { cat "$WORK/tcpdump.log" >&2; fail "packets were dropped"; }
  [ "$rc" = 0 ] || fail "the client of $1 failed ($rc)"
  editcap -F pcapng --inject-secrets "tls,$keys" "$packets" "$2"
}

wait_for() {   # FILE TEXT PID: waits up to 10 s for the line, as long as the process lives
  local i
  for i in $(seq 100); do
    if grep -q "$2" "$1" 2>/dev/null; then return 0; fi
    kill -0 "$3" 2>/dev/null || { cat "$1" >&2; fail "a lab process ended early"; }
    sleep 0.1
  done
  cat "$1" >&2
  fail "no '$2' within 10 s"
}

record() {   # SCENARIO
  local scenario=$1 raw="$WORK/$1.raw.pcapng" audit="$WORK/$1.audit.yaml" size
  echo "recording $scenario …" >&2
  make_network
  ip netns exec "$INTERNET" node "$LAB/server/main.mjs" "$scenario" "$WORK/files" >"$WORK/server.log" 2>&1 &
  SERVER=$!
  wait_for "$WORK/server.log" ready "$SERVER"
  if [ -n "${VITRINE:-}" ]; then record_with_vitrine "$scenario" "$raw" "$audit"; else record_with_tcpdump "$scenario" "$raw" "$audit"; fi
  kill "$SERVER" && wait "$SERVER" 2>/dev/null || true
  SERVER=""
  if grep -v '^ready$' "$WORK/server.log" >&2; then fail "the lab's servers complained"; fi
  remove_network

  python3 "$LAB/mark_simulated.py" "$COMMENT" "$raw" "$WORK/$scenario.pcapng"
  size=$(stat -c %s "$WORK/$scenario.pcapng")
  [ "$size" -le "$MAX_BYTES" ] || fail "$scenario.pcapng has $size bytes, more than $MAX_BYTES"
  python3 "$LAB/check_recording.py" "$WORK/$scenario.pcapng"
  python3 "$LAB/tshark_requests.py" "$WORK/$scenario.pcapng" >"$WORK/$scenario.requests.tsv"
  install -m 644 "$WORK/$scenario.pcapng" "$WORK/$scenario.audit.yaml" "$WORK/$scenario.requests.tsv" "$OUT/"
  echo "  $scenario.pcapng: $size bytes, $(grep -vcE "^(#|method)" "$OUT/$scenario.requests.tsv") requests" >&2
}

cleanup() {
  local rc=$?
  trap - EXIT INT TERM
  [ -z "${SERVER:-}" ] || kill "$SERVER" 2>/dev/null || true
  remove_network
  [ -z "${WORK:-}" ] || rm -rf "$WORK"
  exit "$rc"
}

if [ -z "${VITRINE:-}" ] && command -v vitrine >/dev/null; then VITRINE=$(command -v vitrine); fi
check_needs
network_is_free || fail "the namespaces $CLIENT or $INTERNET exist already; is another recording running?"
SERVER=""
WORK=$(mktemp -d -t aster-lab.XXXXXX)
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$WORK/files" "$WORK/home"
make_certificates "$WORK/files"
[ $# -gt 0 ] || set -- aster-baseline aster-keystroke aster-clean
for scenario in "$@"; do record "$scenario"; done
python3 "$LAB/make_mmdb.py" "$WORK/aster-test.mmdb"
install -m 644 "$WORK/aster-test.mmdb" "$OUT/"
