#include "capture/ledger.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

Exchange exchange_of(ConnectionId connection, uint32_t ordinal, const std::string& host) {
  Exchange exchange;
  exchange.id = {connection, ordinal};
  exchange.host = host;
  return exchange;
}

uint64_t sum(const CoverageLedger& ledger) {
  auto totals = ledger.totals();
  return totals[0].total() + totals[1].total();
}

TEST(CoverageLedger, BytesInAreBytesAccounted) {
  CoverageLedger ledger;
  Exchange a = exchange_of(1, 1, "a.test");
  a.messages[0].bytes.add(Cause::decoded, 100);
  a.messages[1].bytes.add(Cause::decoded, 1000);
  a.messages[1].bytes.add(Cause::gap, 7);
  ledger.exchange(a, {40, 0});
  ConnectionInfo connection;
  connection.id = 1;
  connection.tls_info.sni = "A.test";
  connection.overhead[0].add(Cause::decoded, 517);
  connection.overhead[1].add(Cause::no_key, 99);
  ledger.connection(connection);

  EXPECT_EQ(sum(ledger), 100u + 1000 + 7 + 517 + 99);
  ASSERT_EQ(ledger.rows().size(), 1u);
  const auto& row = ledger.rows().at("a.test");
  EXPECT_EQ(row.bytes[0][Cause::opaque], 40u);
  EXPECT_EQ(row.bytes[0][Cause::decoded], 60u + 517);
  EXPECT_EQ(row.bytes[1][Cause::no_key], 99u);
}

TEST(CoverageLedger, OpaqueNeverTakesMoreThanWasDecoded) {
  CoverageLedger ledger;
  Exchange a = exchange_of(1, 1, "a.test");
  a.messages[0].bytes.add(Cause::decoded, 10);
  ledger.exchange(a, {400, 3});
  EXPECT_EQ(sum(ledger), 10u);
  EXPECT_EQ(ledger.rows().at("a.test").bytes[0][Cause::opaque], 10u);
}

TEST(CoverageLedger, OverheadGoesToSniThenFirstAuthorityThenAddress) {
  CoverageLedger ledger;
  ledger.exchange(exchange_of(5, 2, "second.test"), {});
  ledger.exchange(exchange_of(5, 1, "first.test"), {});
  ConnectionInfo plain;
  plain.id = 5;
  plain.overhead[0].add(Cause::decoded, 3);
  ledger.connection(plain);
  EXPECT_EQ(ledger.rows().at("first.test").bytes[0].total(), 3u);

  ConnectionInfo bare;
  bare.id = 6;
  bare.server.ip = IpAddress::parse("203.0.113.9");
  bare.overhead[0].add(Cause::unsupported, 48);
  ledger.connection(bare);
  EXPECT_EQ(ledger.rows().at("203.0.113.9").bytes[0][Cause::unsupported], 48u);
}

TEST(CoverageLedger, MergeEqualsOneShard) {
  auto feed = [](CoverageLedger& ledger, ConnectionId id) {
    Exchange e = exchange_of(id, 1, id % 2 ? "odd.test" : "even.test");
    e.messages[0].bytes.add(Cause::decoded, 10 * id);
    ledger.exchange(e, {id, 0});
    ConnectionInfo connection;
    connection.id = id;
    connection.overhead[1].add(Cause::truncated, id);
    ledger.connection(connection);
  };
  CoverageLedger one, left, right;
  for (ConnectionId id = 1; id <= 6; ++id) {
    feed(one, id);
    feed(id <= 3 ? left : right, id);
  }
  right.merge(std::move(left));
  ASSERT_EQ(one.rows().size(), right.rows().size());
  for (const auto& [host, row] : one.rows()) {
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(row.bytes[i].by_cause, right.rows().at(host).bytes[i].by_cause) << host;
  }
}

TEST(CoverageLedger, TakingAKeyAwayMovesExactlyThoseBytes) {
  auto total = [](bool with_key) {
    CoverageLedger ledger;
    ConnectionInfo connection;
    connection.id = 1;
    connection.tls_info.sni = "a.test";
    connection.overhead[0].add(Cause::decoded, 300);
    if (with_key) {
      Exchange e = exchange_of(1, 1, "a.test");
      e.messages[0].bytes.add(Cause::decoded, 700);
      ledger.exchange(e, {});
    } else {
      connection.overhead[0].add(Cause::no_key, 700);
    }
    ledger.connection(connection);
    return ledger.rows().at("a.test").bytes[0];
  };
  const ByteCounts with = total(true), without = total(false);
  EXPECT_EQ(with.total(), without.total());
  EXPECT_EQ(without[Cause::no_key], with[Cause::decoded] - without[Cause::decoded]);
}

}  // namespace
}  // namespace vitrine
